"""Checks every statement of the paper on a finished run: python scripts/verify.py RUN_DIR [OTHER_RUN_DIR]."""

from gfflow.__main__ import verify

if __name__ == "__main__":
    verify()
