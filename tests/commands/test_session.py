"""What lasts as long as one call of the command, and how a resumed run's overrides are read."""

import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.summary.writer.record_writer import RecordWriter

from gfflow.callbacks.interruption import Interruption
from gfflow.commands import train as command
from gfflow.commands.failures import of_reading
from gfflow.commands.resuming import configuration_of
from gfflow.commands.session import Session
from gfflow.commands.sweep import without_interruptions
from gfflow.config import RunConfig
from gfflow.errors import Interrupted, InvalidInput
from gfflow.run import train
from gfflow.training.signals import OF_SCHEDULERS, StopSignals


def failing_thread() -> None:
    def fail() -> None:
        raise OSError(28, "in a thread of one's own")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


def failing_writer(folder) -> None:
    """A full disk met by TensorBoard's own thread, as it is met."""
    writer = EventFileWriter(str(folder))
    writer.flush()
    thread = writer._async_writer._worker
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecordWriter, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        writer._async_writer.write(b"an event")
        thread.join(timeout=20)
    assert not thread.is_alive()


def test_only_a_full_disk_in_tensorboards_thread_prints_nothing_and_only_within_a_session(monkeypatch, tmp_path):
    printed: list[BaseException] = []
    monkeypatch.setattr(threading, "excepthook", lambda ended: printed.append(ended.exc_value))
    usual = threading.excepthook
    with Session() as session:
        assert Session.current is session
        failing_writer(tmp_path / "within")
        assert printed == []
        failing_thread()
        assert [str(error) for error in printed] == ["[Errno 28] in a thread of one's own"]
    assert Session.current is None and threading.excepthook is usual
    failing_writer(tmp_path / "after")
    assert len(printed) == 2


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False)]
)
def test_a_resumed_runs_overrides_are_read_as_hydra_reads_them(text, value, tmp_path):
    config = RunConfig.of({"figures": not value, "verbose": False, "solver": {"iterations": 5}})
    train(config, tmp_path)
    folder, values = configuration_of(str(tmp_path), [f"resume={tmp_path}", f"figures={text}", "++verbose=false"])
    assert folder == tmp_path and values["figures"] is value and values["resume"] == "auto"
    assert RunConfig.of(values).figures is value


def test_a_resumed_runs_overrides_that_are_no_truth_values_are_refused(tmp_path):
    train(RunConfig.of({"figures": False, "verbose": False, "solver": {"iterations": 5}}), tmp_path)
    _, values = configuration_of(str(tmp_path), [f"resume={tmp_path}", "figures=sometimes"])
    with pytest.raises(InvalidInput, match=r"^figures: received sometimes"):
        RunConfig.of(values)
    with pytest.raises(InvalidInput, match="resume=RUN_DIR alone"):
        configuration_of(str(tmp_path), [f"resume={tmp_path}", "figures_of=true"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_signals_at_once_in_training_end_it_with_the_way_to_go_on(number, monkeypatch, capfd, tmp_path):
    """Of the second Ctrl-C Lightning makes an exit of its own, with status 1 and without a word."""
    usual = {one: signal.signal(one, default) for one, default in DEFAULTS.items()}
    twice = lambda *_: [os.kill(os.getpid(), number) for _ in range(2)]  # noqa: E731
    monkeypatch.setattr(Interruption, "on_train_batch_start", twice)
    monkeypatch.setattr(sys, "argv", ["gfflow-train", "figures=false", "verbose=false", f"hydra.run.dir={tmp_path}"])
    try:
        with pytest.raises(SystemExit) as ended:
            command.main()
        told = capfd.readouterr().err
        assert ended.value.code == 128 + number and told.count("\n") == 1 and f"go on with resume={tmp_path}" in told
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Interrupted):
            train({"figures": False, "verbose": False}, tmp_path / "library")
    finally:
        for one, handler in usual.items():
            signal.signal(one, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_reads_is_stopped_with_one_line_whatever_comes_then(number, monkeypatch, capfd):
    """In a process of its own nothing that comes while it ends changes the exit status."""
    handled = DEFAULTS | dict.fromkeys(OF_SCHEDULERS, signal.SIG_DFL)
    usual = {one: signal.signal(one, default) for one, default in handled.items()}
    monkeypatch.setattr(StopSignals, "own_process", True)
    try:
        with pytest.raises(SystemExit) as ended, of_reading():
            os.kill(os.getpid(), number)
        for one in handled:
            os.kill(os.getpid(), one)
        assert ended.value.code == 128 + number
        assert capfd.readouterr().err == "gfflow: interrupted; the same command begins anew\n"
        with pytest.raises(SystemExit) as refused, of_reading():
            raise InvalidInput("folder", "x", "a folder")
        assert refused.value.code == 2
    finally:
        for one, handler in usual.items():
            signal.signal(one, handler)


def test_what_a_second_signal_adds_is_not_told_again():
    session = Session()
    session.failures = [("interrupted at iteration 3; go on with resume=run", 130)]
    command._note_end(KeyboardInterrupt(), session)
    assert len(session.failures) == 1
    session.failures = []
    command._note_end(KeyboardInterrupt(), session)
    assert session.failures == [("interrupted", 130)]


def test_workers_say_nothing_of_an_interruption_that_was_dropped(monkeypatch):
    """As Python does of one that came within a `__del__`; of other errors all is said."""
    told = []
    monkeypatch.setattr(sys, "__unraisablehook__", told.append)
    dropped = [SimpleNamespace(exc_type=kind) for kind in (KeyboardInterrupt, ValueError)]
    for one in dropped:
        without_interruptions(one)
    assert told == dropped[1:]


DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
