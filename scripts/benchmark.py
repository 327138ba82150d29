"""Times gfflow's solvers and the training command against the plain PyTorch loop: see README.md."""

from gfflow.benchmark import main

if __name__ == "__main__":
    main()
