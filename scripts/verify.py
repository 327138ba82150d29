"""Checks every statement of the paper on a finished run: python scripts/verify.py RUN_DIR [OTHER_RUN_DIR]."""

from gfflow.commands.verify import main

if __name__ == "__main__":
    main()
