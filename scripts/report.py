"""Draws the figures of a finished run, or reports on a sweep: python scripts/report.py DIR."""

from gfflow.__main__ import report

if __name__ == "__main__":
    report()
