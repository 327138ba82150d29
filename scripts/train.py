"""Trains one run, or with -m a sweep: see README.md."""

from gfflow.commands.train import command

if __name__ == "__main__":
    command()
