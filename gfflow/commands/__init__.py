"""What is typed: train, report, verify; and what holds for the jobs of a sweep together."""
