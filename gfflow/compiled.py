"""Compilation by numba: the only file that uses what numba does not document, tried with the releases that
pyproject.toml admits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba import njit
from numba.core import event
from numba.cpython.unsafe import tuple as _tuples

tuple_setitem: Any = _tuples.tuple_setitem
"""tuple_setitem(values, i, value): inside compiled code, the tuple with one entry replaced."""


kept_nowhere: list[str] = []  # functions whose code no folder could be found for


def compiled(function: Any = None, **options: Any) -> Any:
    """numba's njit with numpy's rules of division, its code kept on the disk for later processes. Where no folder for
    that can be written (neither that of the module nor the person's cache folder), each process compiles anew.

    `options` are njit's, such as fastmath; with options alone it gives the decorator.
    """
    if function is None:
        return lambda given: compiled(given, **options)
    try:
        return njit(cache=True, error_model="numpy", **options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        kept_nowhere.append(function.__name__)
        return njit(error_model="numpy", **options)(function)


def lean(function: Any = None, **options: Any) -> Any:
    """As `compiled`, for functions that allocate nothing: without the counts of references to arrays, which cost more
    than the arithmetic on a few numbers. Slices of arrays are views there; arrays are not assigned to slices."""
    return compiled(function, _nrt=False, **options)


@contextmanager
def at_first_compilation(do: Callable[[], None]) -> Iterator[None]:
    """Within it, calls `do` once, when a kernel begins to be compiled (not when it is read from numba's cache)."""

    class Once(event.Listener):
        called = False

        def on_start(self, _: Any) -> None:
            if not self.called:
                self.called = True
                do()

        def on_end(self, _: Any) -> None:
            pass

    with event.install_listener("numba:compile", Once()):
        yield
