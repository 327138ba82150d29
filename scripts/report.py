"""Draws the figures of a finished run: python scripts/report.py RUN_DIR [--animation]."""

from gfflow.report import main

if __name__ == "__main__":
    main()
