"""Members spread over processes: each gets some at a time, and hands back what is left of them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import cast

from gfflow.config import RunConfig
from gfflow.ensemble.member import train_member
from gfflow.experiment import uses_cuda
from gfflow.model.data import TrainingSet
from gfflow.processes import can_fork, cores, fork
from gfflow.records.ensemble import Member

LARGEST = 32  # members handed out at once: what a killed run loses of each process at most
LOOK = 0.2  # seconds between two looks at whether a signal has come
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def processes_for(config: RunConfig, threads: int) -> int:
    """How many processes train the members. One, the own, where a member computes with several threads itself, and
    where processes cannot be forked."""
    if threads > 1 or not can_fork() or uses_cuda(config):
        return 1
    return min(config.ensemble.processes or cores(), config.ensemble.size)


def portions(indices: Sequence[int], processes: int) -> list[list[int]]:
    """The members in the portions that are handed out: some for each process, so that none is left waiting."""
    return in_parts(indices, max(1, min(LARGEST, len(indices) // (4 * processes))))


def in_parts(indices: Sequence[int], count: int) -> list[list[int]]:
    """The members in their order, so many at a time."""
    return [list(indices[i : i + count]) for i in range(0, len(indices), count)]


class Workers:
    """Processes that train members, each of them some at a time."""

    def __init__(self, connections: Sequence[Connection], waiting: Sequence[list[int]]) -> None:
        """Gives each process its first portion of those that are waiting."""
        self._waiting = list(waiting[::-1])
        self._busy: dict[Connection, list[int]] = {}
        for connection in connections:
            self._give(connection)

    def trained(self, stop: Callable[[], bool]) -> Iterator[tuple[list[int], list[Member]]]:
        """Each portion of members as it is trained, in whatever order; ends early once `stop` says so. Raises
        RuntimeError with the traceback where a process has failed."""
        while self._busy and not stop():
            for ready in wait(list(self._busy), timeout=LOOK):
                connection = cast(Connection, ready)
                portion = self._busy.pop(connection)
                members = _received(connection)
                self._give(connection)
                yield portion, members

    def _give(self, connection: Connection) -> None:
        if self._waiting:
            self._busy[connection] = self._waiting.pop()
            connection.send(self._busy[connection])


@contextmanager
def at_work(config: RunConfig, data: TrainingSet, indices: Sequence[int], processes: int) -> Iterator[Workers]:
    """Processes that train the members of these indices until the end of the block."""
    waiting = portions(indices, processes)
    with _started(config, data, min(processes, len(waiting))) as connections:
        yield Workers(connections, waiting)


def _received(connection: Connection) -> list[Member]:
    try:
        answer = connection.recv()
    except EOFError:
        raise RuntimeError("a process that trained members was ended from outside (memory?)") from None
    if isinstance(answer, str):
        raise RuntimeError(f"a member could not be trained:\n{answer}")
    members: list[Member] = answer
    return members


@contextmanager
def _started(config: RunConfig, data: TrainingSet, count: int) -> Iterator[list[Connection]]:
    """The processes, ended at the end of the block whatever they are doing: what they have not handed back is
    trained again by a resumed run."""
    processes, connections = [], []
    try:
        for _ in range(count):
            ours, theirs = multiprocessing.Pipe()
            process = fork(_work, theirs, config, data, os.getpid())
            theirs.close()
            processes.append(process)
            connections.append(ours)
        yield connections
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        for connection in connections:
            connection.close()


def _work(connection: Connection, config: RunConfig, data: TrainingSet, parent: int) -> None:
    """What a process does until it is ended: portions of indices in, members out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, sent to all: the parent ends the others
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        return
    try:
        while True:
            connection.send([train_member(config, index, data) for index in connection.recv()])
    except EOFError:
        return
    except BaseException:
        connection.send(traceback.format_exc())
