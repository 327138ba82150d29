"""Times gfflow's solvers and the training command against the plain PyTorch loop: see README.md."""

from gfflow.__main__ import benchmark

if __name__ == "__main__":
    benchmark()
