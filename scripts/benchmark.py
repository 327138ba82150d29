"""Times gfflow's solvers against the plain PyTorch loop: see README.md. One thread on each side."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # read when torch and numpy are imported

from gfflow.benchmark import main  # noqa: E402

if __name__ == "__main__":
    main()
