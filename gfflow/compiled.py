"""Compilation by numba: the only file that uses what numba does not document, tried with the releases that
pyproject.toml admits."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core import event
from numba.core.registry import cpu_target
from numba.cpython.unsafe import tuple as _tuples

tuple_setitem: Any = _tuples.tuple_setitem
"""tuple_setitem(values, i, value): inside compiled code, the tuple with one entry replaced."""


RULES: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True}
CHOSEN = "CACHE_DIR"  # the folder that NUMBA_CACHE_DIR names, of numba's configuration
kept_nowhere: list[str] = []  # functions whose code no folder could be found for


def compiled(function: Any = None, **options: Any) -> Any:
    """numba's njit with numpy's rules of division, its code kept on the disk for later processes: beside the module,
    or in the person's cache folder, or, where neither can be written, in a folder of theirs among the temporary
    files. Where not even that is to be had, each process compiles anew. No wrappers for callers in C are made, which
    nobody here needs and which take a tenth of the time.

    `options` are njit's, such as fastmath; with options alone it gives the decorator.
    """
    if function is None:
        return lambda given: compiled(given, **options)
    try:
        return njit(cache=True, **RULES, **options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
    folder = own_temporary_folder()
    if folder is None or getattr(config, CHOSEN):
        kept_nowhere.append(function.__name__)
        return njit(**RULES, **options)(function)
    setattr(config, CHOSEN, str(folder))
    try:
        return njit(cache=True, **RULES, **options)(function)
    finally:
        setattr(config, CHOSEN, "")  # what other packages compile is kept as ever


@cache
def make_ready() -> None:
    """Has numba load what it needs to read any compiled code from the disk: a third of a second, once a process, that
    would otherwise be counted as the first leap's."""
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def own_temporary_folder() -> Path | None:
    """A folder among the temporary files, the same for all processes of a person, that nobody else can write: what
    lies there is executed. None where there is none, or where somebody else has taken its name."""
    if not hasattr(os, "getuid"):  # Windows, where everybody has temporary files of their own, and a cache folder
        return None
    try:
        folder = Path(tempfile.gettempdir()) / f"gfflow-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if own and os.access(folder, os.W_OK) else None


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
