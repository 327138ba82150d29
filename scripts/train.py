"""Trains one run, or with -m a sweep: see README.md."""

from gfflow.__main__ import train

if __name__ == "__main__":
    train()
