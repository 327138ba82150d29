import os
import time
from collections.abc import Callable

import pytest

from gfflow import processes
from gfflow.processes import beside
from gfflow.threads import SWEEP


@pytest.fixture(params=[1, 2])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(processes, "cores", lambda: request.param)
    return int(request.param)


def test_work_is_done_beside_or_here(cores: int) -> None:
    with beside(lambda: (os.getpid(), "a" * 10**6)) as result:
        pid, text = result()
    assert (pid == os.getpid()) == (cores == 1)
    assert len(text) == 10**6  # more than a pipe holds


def test_what_fails_there_is_raised_here(cores: int) -> None:
    def fails() -> None:
        raise ValueError("in the middle")

    with pytest.raises((RuntimeError, ValueError), match="in the middle"), beside(fails) as result:
        result()


def test_an_error_here_ends_what_is_done_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 2)
    forked: list[int] = []

    def noted(work: Callable[..., None], *given: object) -> object:
        process = fork(work, *given)
        forked.append(process.pid or 0)
        return process

    fork = processes.fork
    monkeypatch.setattr(processes, "fork", noted)
    with pytest.raises(KeyError), beside(lambda: time.sleep(60)):
        raise KeyError
    with pytest.raises(ProcessLookupError):
        os.kill(forked[0], 0)


def test_a_job_of_a_parallel_sweep_keeps_to_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWEEP, "0")
    assert processes.cores() == 1
    monkeypatch.delenv(SWEEP)
    assert processes.cores() == len(os.sched_getaffinity(0))
