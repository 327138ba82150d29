"""How many threads the libraries below gfflow compute with: chosen by the size of the work, for a run's time alone.

A matrix product is shared out among threads that must all have ended before the next one begins. A small one so
loses more than it gains, and beside other busy processes, where a thread waits for its turn on a core, it takes a
hundred times as long. Gradient descent forms small products by the thousand.

Since rounding depends on how a sum is shared out, results below the size are also the same bits on every machine,
however many cores it has.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Multiply-adds of one product, some 2 ms of one core, that a thread must have to itself: measured by products of all
# sizes with one thread and two. On an idle machine two break even at 3 million in all; beside as many busy processes
# as cores they take 8 times as long as one thread at 10 million, 2 times at 40 million, 1.4 times at 250 million.
PER_THREAD = 50_000_000

SWEEP = "GFFLOW_SWEEP_PROCESS"  # environment variable: the process that runs a parallel sweep, for its workers

_lock = threading.Lock()
_open: list[int] = []  # the limits that hold now, in whatever thread of Python they were set
_own: list[tuple[Any, int]] = []  # the BLAS libraries and their own numbers of threads, from before the first limit


def threads_for(samples: int, dimension: int, neurons: int) -> int:
    """How many threads gain from the products of a run: 1 up to twice PER_THREAD multiply-adds in the pre-activations
    x w^T of all samples and neurons, which every step and every measurement form, and more in proportion."""
    return max(1, samples * dimension * neurons // PER_THREAD)


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Inside, the BLAS libraries of numpy and scipy (numba's products are scipy's), OpenMP and torch use at most so
    many threads; fewer where they are set to fewer already, by OMP_NUM_THREADS or torch.set_num_threads. Afterwards,
    and after an exception, all are as they were. Costs some 3 ms, so once a run and not once a step.

    May be nested, and entered by several threads of Python at once: the BLAS libraries, which know one number for the
    whole process, then keep to the least. numba's own threads need no limit: no compiled loop here asks for them.
    """
    import scipy.linalg  # noqa: F401  a library that is loaded later would not be found
    from threadpoolctl import ThreadpoolController

    torch = sys.modules.get("torch")
    libraries = ThreadpoolController().lib_controllers
    before = torch.get_num_threads() if torch else 0  # of this thread, as are OpenMP's
    openmp = [(library, library.num_threads) for library in libraries if library.user_api == "openmp"]
    with _lock:
        if not _open:
            _own[:] = [(library, library.num_threads) for library in libraries if library.user_api == "blas"]
        _open.append(threads)
        _set_blas()
    try:
        for library, number in openmp:
            if number > threads:
                library.set_num_threads(threads)
        if torch and before > threads:
            torch.set_num_threads(threads)
        yield
    finally:
        if torch and before > threads:
            torch.set_num_threads(before)
        for library, number in openmp:
            if number > threads:
                library.set_num_threads(number)
        with _lock:
            _open.remove(threads)
            _set_blas()


def _set_blas() -> None:
    for library, number in _own:
        wanted = min([number, *_open])
        if library.num_threads != wanted:
            library.set_num_threads(wanted)
