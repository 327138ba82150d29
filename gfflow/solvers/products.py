"""Descent on many samples and many coordinates, where a step is one large matrix product and little else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gfflow.compiled import compiled
from gfflow.model.compiled_losses import residuals_at

LARGE = 10**8  # n^2 m from which on the product is worth calls from Python: some 4 ms a step
ROWS = 512  # neurons of one product: enough for nearly its full speed

_reordered: Any = compiled(fastmath={"reassoc", "contract"}, nogil=True)


@_reordered
def push_rows(z, a, c, push, sums):  # type: ignore[no-untyped-def]
    """push_jk = a_j A_jk c_k for rows z (rows, n) and its addition to the sums; then a_j moves by <c, relu(z_j)>."""
    zero = z.dtype.type(0)
    for j in range(a.size):
        row, mine, total, own, turn = z[j], push[j], sums[j], a[j], zero
        for k in range(c.size):
            v = row[k]
            turn += zero if v <= zero else c[k] * v
            p = zero if v <= zero else own * c[k]
            mine[k] = p
            total[k] += p
        a[j] += turn


@_reordered
def add_outputs(z, a, h):  # type: ignore[no-untyped-def]
    """h_k += sum_j a_j relu(z_jk) over rows z (rows, n)."""
    zero = z.dtype.type(0)
    for j in range(a.size):
        row, own = z[j], a[j]
        for k in range(h.size):
            v = row[k]
            h[k] += zero if v <= zero else own * v


def descend_by_products(
    w: NDArray[Any],
    a: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    gram: NDArray[Any],
    lr: Any,
    steps: int,
    code: int = 0,
) -> None:
    """`steps` steps in place on w (m, d) and a (m,), on the pre-activations, which move by push @ gram: 2 n^2
    operations a neuron and step, in torch's products, and two products of w and x a call.

    Rows are cut into parts of at most ROWS neurons, each the work of one thread, of as many as torch has: so the
    results are the same bits for any number of threads.
    """
    threads, m = torch.get_num_threads(), len(a)
    starts = range(0, m, ROWS)
    z, sums = np.empty((m, len(y)), w.dtype), np.zeros((m, len(y)), w.dtype)
    outputs, r = np.zeros((len(starts), len(y)), w.dtype), np.empty_like(y)
    inputs, products = torch.from_numpy(x), torch.from_numpy(gram)

    def begin(first: int) -> None:
        part = slice(first, first + ROWS)
        torch.mm(torch.from_numpy(w[part]), inputs.T, out=torch.from_numpy(z[part]))
        add_outputs(z[part], a[part], outputs[first // ROWS])

    def step(first: int, c: NDArray[Any], last: bool) -> None:
        part = slice(first, first + ROWS)
        push = np.empty_like(z[part])
        push_rows(z[part], a[part], c, push, sums[part])
        if not last:  # nobody asks for the pre-activations after the last step
            torch.from_numpy(z[part]).addmm_(torch.from_numpy(push), products)
            add_outputs(z[part], a[part], outputs[first // ROWS])

    def end(first: int) -> None:
        part = slice(first, first + ROWS)
        torch.from_numpy(w[part]).addmm_(torch.from_numpy(sums[part]), inputs)

    with shared_out(min(threads, len(starts))) as do:
        do(begin, starts)
        for left in range(steps, 0, -1):
            residuals_at(code, outputs.sum(axis=0), y, r)
            c = lr * (r / y.dtype.type(len(y)))
            outputs[:] = 0
            do(partial(step, c=c, last=left == 1), starts)
        do(end, starts)


@contextmanager
def shared_out(threads: int) -> Iterator[Callable[[Callable[[int], None], Iterable[int]], None]]:
    """A function that calls another for each of many numbers, by so many threads, each with torch to itself."""

    def one_by_one(function: Callable[[int], None], numbers: Iterable[int]) -> None:
        for number in numbers:
            function(number)

    def together(function: Callable[[int], None], numbers: Iterable[int]) -> None:
        list(pool.map(function, numbers))

    before = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            if threads == 1:
                torch.set_num_threads(1)
            yield one_by_one if threads == 1 else together
        finally:
            torch.set_num_threads(before)
