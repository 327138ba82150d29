"""How fast it is: descent by gfflow's solvers against the plain PyTorch loop, side by side in one run."""

from gfflow.benchmark.run import main

__all__ = ["main"]
