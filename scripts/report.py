"""Draws a run's figures, or reports on a sweep: see README.md."""

from gfflow.report import main

if __name__ == "__main__":
    main()
