"""Draws the figures of a finished run, or reports on a sweep: python scripts/report.py DIR."""

from gfflow.commands.report import main

if __name__ == "__main__":
    main()
