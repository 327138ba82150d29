"""Training in leaps: the module, when to measure, signals, and other people's modules seen as neurons."""
