"""Trains one run, or with -m a sweep: see README.md."""

from gfflow.main import main

if __name__ == "__main__":
    main()
