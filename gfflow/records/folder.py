"""A run's folder: claimed by one process, never overwritten, known by the configuration it was begun with."""

from __future__ import annotations

import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from gfflow.errors import InvalidInput

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
ERROR_FILE = "error.txt"  # what a failed job of a sweep leaves: its status, its overrides, and why
NOT_PART_OF_A_RUN = (
    "verbose",
    "figures",
    "verify",
    "fail_fast",
    "report",
    "optimized_metric",
    "resume",
    "loggers",
)  # may differ when a run is resumed

MAY_GROW = ("iterations", "stop_loss")  # under solver: a run that has ended goes on where they let it
MAY_DIFFER = (*MAY_GROW, "processes")  # under solver and ensemble: of a run that goes on


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Makes the folder and holds it for this process alone; raises InvalidInput where another one holds it.

    The lock goes with the process, so that a killed run leaves none behind. Where there are no such locks (on
    Windows, on some network file systems) a UserWarning says so, and nothing keeps a second process out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = _locked(folder / LOCK)
    if lock is None:
        warnings.warn(f"no lock could be had on {folder}: start no second process that writes into it", stacklevel=3)
        yield
        return
    with lock:
        try:
            yield
        finally:
            (folder / LOCK).unlink(missing_ok=True)  # while it is still held


def _locked(path: Path) -> IO[str] | None:
    """The lock file, open and locked; None where the system or the file system has no locks."""
    if fcntl is None:
        return None
    while True:
        lock = open(path, "w")  # noqa: SIM115 (it stays open for as long as the lock is held)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(lock, path):
                return lock
            lock.close()  # its last holder has removed it between our opening and our locking: once more
        except BlockingIOError:
            lock.close()
            allowed = "a folder that no other process is writing"
            raise InvalidInput("run folder", str(path.parent), allowed) from None
        except OSError:
            lock.close()
            path.unlink(missing_ok=True)
            return None


def _is_file(lock: IO[str], path: Path) -> bool:
    """Whether the open file is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


def events_folder(folder: Path, label: str = "") -> Path:
    """Where in a run's folder TensorBoard's events are: where there are some already, else in `tensorboard`, there in
    a folder named by the label, made fit for a file's name, if there is one."""
    root = folder / "tensorboard"
    there = sorted({path.parent for path in root.rglob("events.out.tfevents.*")})
    return there[0] if there else root / re.sub(r"[^\w.,=+-]", "_", label)[:100].strip(".")


def holds_run(folder: Path) -> bool:
    """Whether a run has been begun in the folder."""
    return any((folder / name).exists() for name in ("summary.json", "metrics.csv", "checkpoints"))


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary of a run that has come to its end, else None; raises InvalidInput for a damaged file."""
    path = folder / "summary.json"
    if not path.exists():
        return None
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        summary["config"]["seed"]
        return summary
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput("resume", str(path), f"a whole summary.json ({reason_of(error)})") from None


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The last checkpoint of a run, None where there is none yet. It is data alone: nothing in it is executed.

    Raises InvalidInput, in one line, for a file that is truncated, tampered with, or not of a run of this kind.
    """
    path = folder / "checkpoints" / "last.ckpt"
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as file:  # torch compares no checksums
            if file.testzip() is not None:
                raise ValueError(f"a wrong checksum of {file.testzip()}")
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint["gfflow"]["iteration"], checkpoint["state_dict"]["network.hidden"]
        return checkpoint
    except Exception as error:  # a damaged pickle can raise any
        raise InvalidInput("resume", str(path), f"a whole checkpoint of a run ({reason_of(error)})") from None


def check_same_configuration(folder: Path, begun: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raises InvalidInput, naming the first key that differs, where a run would go on under another configuration;
    how far it goes and by how many processes (MAY_DIFFER) may differ."""
    for key in asked:
        if key not in NOT_PART_OF_A_RUN and of_identity(begun.get(key)) != of_identity(asked[key]):
            allowed = f"{begun.get(key)!r}, with which the run in {folder} was begun"
            raise InvalidInput(key, repr(asked[key]), allowed)


def goes_further(ended: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a run whose summary is `ended` is asked to go on beyond its end: for more iterations, or to a loss that
    it had not reached when it stopped. Raises InvalidInput where it has already done more iterations."""
    before, after, done = ended["config"]["solver"], asked["solver"], ended["iterations"]
    if all(before.get(key) == after.get(key) for key in MAY_GROW):
        return False
    if after["iterations"] < done:
        raise InvalidInput("solver.iterations", after["iterations"], f"at least {done:,}, which the run has done")
    stop = after.get("stop_loss")
    reached = stop is not None and ended["final"]["loss"] is not None and ended["final"]["loss"] < stop
    return after["iterations"] > done and not reached and ended["stop_reason"] in ("iterations", "loss")


def of_identity(value: Any) -> Any:
    """A value of the configuration without those keys that a run which goes on may have anew."""
    if not isinstance(value, Mapping):
        return value
    return {key: inner for key, inner in value.items() if key not in MAY_DIFFER}


def reason_of(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
