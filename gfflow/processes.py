"""Processes beside this one: how many cores there are for them, and work done in one of them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from gfflow.threads import SWEEP

T = TypeVar("T")


def can_fork() -> bool:
    """Whether processes can be forked: what is registered by now would not be known in others."""
    return sys.platform.startswith("linux") and not multiprocessing.current_process().daemon


def cores() -> int:
    """How many cores there are for processes forked from this one: 1 in a job of a parallel sweep, which has one for
    each core."""
    job = os.environ.get(SWEEP) not in (None, str(os.getpid()))
    return 1 if job else len(os.sched_getaffinity(0))


def fork(work: Callable[..., None], *given: Any) -> BaseProcess:
    """A process that does the work; one that this one ends, where it ends in order itself."""
    process = multiprocessing.get_context("fork").Process(target=work, args=given, daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: they hold no lock here
        process.start()
    return process


@contextmanager
def beside(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Begins the work in a process of its own, if there is a core for it; gives a function that waits for its end and
    returns what came of it, or raises RuntimeError with the traceback where it failed. Without such a core that
    function does the work."""
    if cores() == 1 or not can_fork():
        yield work
        return
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = fork(_report, work, theirs)
    theirs.close()

    def result() -> T:
        try:
            found, failure = ours.recv()
        except EOFError:
            raise RuntimeError("a process was ended from outside (memory?)") from None
        if failure:
            raise RuntimeError(f"a process has failed:\n{failure}")
        made: T = found
        return made

    try:
        yield result
    finally:
        process.kill()  # it has ended, unless there was an exception here
        process.join()
        ours.close()


def _report(work: Callable[[], Any], connection: Connection) -> None:
    try:
        connection.send((work(), ""))
    except BaseException:
        connection.send((None, traceback.format_exc()))
