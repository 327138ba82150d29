"""A signal stops the command wherever it comes, even where its exception is lost or turned into another."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from numba import njit
from numba.core import event

import gfflow.commands.train as command
from gfflow.callbacks import Interruption
from gfflow.commands.session import Session
from gfflow.errors import Interrupted
from gfflow.run import build
from gfflow.solvers import Fused
from gfflow.training.block import move
from gfflow.training.signals import StopSignals, first_received

QUICK = ("figures=false", "verbose=false", "solver.iterations=200", "schedule.linear=10", "schedule.ratio=2")


@pytest.fixture(autouse=True)
def usual_handlers() -> Iterator[None]:
    """Those of a command that a terminal starts, also where the tests were started with & and ignore SIGINT."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


def test_every_signal_stops_the_command_and_an_ignored_one_stays_ignored() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        with pytest.raises(KeyboardInterrupt), StopSignals() as signals:
            signal.raise_signal(number)
        assert signals.received == [number] and first_received() is None
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as for a command that a shell started with nohup and &
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGINT)
    assert signals.received == [] and signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def lost() -> None:
    """What a library does that drops every exception."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


class Collected:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def collected() -> None:
    """What Python does with an exception in a `__del__`: it tells of it on stderr and goes on."""
    Collected()


def turned() -> None:
    """What omegaconf does that leaves a node half made."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    raise AttributeError("half made")


def before(do: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    def both(*arguments: Any, **named: Any) -> Any:
        do()
        return function(*arguments, **named)

    return both


PLACES = {
    "before the first job": "gfflow.commands.sweep.one_of_each_kind",
    "beginning of a job": "gfflow.commands.sweep.end_with_sweep",
    "before training": "gfflow.run.build",
    "after training": "gfflow.commands.train.number_at",
    "launching": "hydra._internal.core_plugins.basic_launcher.configure_log",
}


@pytest.mark.parametrize("way", [lost, collected, turned])
@pytest.mark.parametrize("place", PLACES)
def test_a_signal_stops_a_sweep_whatever_becomes_of_its_exception(place, way, monkeypatch, capfd, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    where, name = PLACES[place].rsplit(".", 1)
    module = import_module(where)
    monkeypatch.setattr(module, name, before(way, getattr(module, name)))
    monkeypatch.setattr(sys, "argv", ["gfflow-train", "-m", *QUICK, "seed=0,1,2", "hydra.sweep.dir=sweep"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    told = capfd.readouterr().err
    assert ended.value.code == 128 + signal.SIGTERM
    done = len(list(Path("sweep").glob("*/summary.json")))
    assert done == (1 if place == "after training" else 0)
    assert told.count("\n") == 1 and f"sweep interrupted, {done} job(s) have ended" in told
    assert Session.current is None and first_received() is None


@pytest.mark.parametrize("way", [lost, collected, turned])
def test_a_signal_before_training_stops_a_run_whatever_becomes_of_its_exception(way, monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gfflow.run.build", before(way, build))
    monkeypatch.setattr(sys, "argv", ["gfflow-train", *QUICK, "hydra.run.dir=run"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 128 + signal.SIGTERM and "interrupted" in capfd.readouterr().err
    assert not Path("run/summary.json").exists() and first_received() is None


class CompilesAnew(Fused):
    """A descent that compiles a function of its own before it moves."""

    def compile_one(self) -> None:
        @njit
        def add(x, y):  # type: ignore[no-untyped-def]
            return x + y

        add(1.0, 2.0)
        self.compiled = True

    def advance(self, *arguments: Any) -> None:
        self.compile_one()
        super().advance(*arguments)

    def advance_through(self, *arguments: Any) -> Any:
        self.compile_one()


@pytest.mark.parametrize("leaps", [1, 3])
def test_a_leap_that_waits_for_the_compiler_gives_it_up(leaps: int) -> None:
    """The signal comes in the middle of a compilation, which takes minutes where the machine is slow; several leaps
    may be one call, which compiles first too."""
    solver = CompilesAnew(0.01)
    module = build({"solver": {"iterations": 10}, "verbose": False}, solver=solver).module
    before = module.network.hidden.detach().clone()
    module.ready()

    class Sends(event.Listener):
        def on_start(self, _: Any) -> None:
            signal.raise_signal(signal.SIGTERM)

        def on_end(self, _: Any) -> None:
            pass

    with Interruption(module), event.install_listener("numba:compile", Sends()), pytest.raises(Interrupted) as told:
        move(module, (1, 2, 3)[:leaps])
    assert told.value.signal == signal.SIGTERM and module.iteration == 0 and not hasattr(solver, "compiled")
    assert (module.network.hidden == before).all()
