"""What is said of an error, in one line, and the exit status that it gives."""

from __future__ import annotations

import errno
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from gfflow.commands.session import Session
from gfflow.commands.words import command_of, misused_option, nameless, override, unreadable
from gfflow.config import RunConfig, presets
from gfflow.errors import Diverged, InvalidInput
from gfflow.reference import experiments
from gfflow.training.signals import StopSignals

UNEXPECTED, BAD_INPUT, DIVERGED, DISK_FULL = 1, 2, 3, 4  # exit statuses
EXTRAS = dict.fromkeys(
    [f"hydra/launcher={name}" for name in ("joblib", "submitit_local", "submitit_slurm")], "pip install -e '.[sweep]'"
) | {"hydra/launcher=ray": "pip install -e '.[ray]'", "hydra/sweeper=optuna": "pip install hydra-optuna-sweeper"}
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def of_reading(elsewhere: str = "") -> Iterator[None]:
    """Within it a command reads runs that have ended: bad input, a folder that cannot be written, a full disk and
    Ctrl-C or SIGTERM end it with one line, and with exit status 2, 2, 4 and 130 or 143. `elsewhere`: how to name
    another folder."""
    with StopSignals() as signals:
        try:
            try:
                yield
            except BaseException as error:
                signals.hold()
                told = _of_reading(error, signals, elsewhere)
            else:
                return
        except KeyboardInterrupt as error:  # a second signal, between the first and `hold`
            signals.hold()
            told = _of_reading(error, signals, elsewhere)
        print(f"gfflow: {told[0]}", file=sys.stderr)
        sys.exit(told[1])


def _of_reading(error: BaseException, signals: StopSignals, elsewhere: str) -> tuple[str, int]:
    """Message and exit status for what ended a command that reads; raises again what is unexpected. After a signal
    any error is its consequence."""
    if signals.received or isinstance(error, KeyboardInterrupt):
        return "interrupted; the same command begins anew", 128 + (signals.received or [signal.SIGINT])[0]
    if isinstance(error, InvalidInput):
        return str(error), BAD_INPUT
    if isinstance(error, OSError) and (status := status_of(error)) != UNEXPECTED:
        named = f"{error.filename}: cannot be written ({error.strerror})"
        hint = f"; choose another folder with {elsewhere}" if elsewhere else ""
        return (named if error.filename else str(error)) + hint, status
    raise error


def status_of(error: BaseException) -> int:
    """The exit status of a command that ends with this error."""
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return BAD_INPUT
    if isinstance(error, (InvalidInput, HydraException, OmegaConfBaseException)):
        return BAD_INPUT
    if _of_memory(error) or _of_hydra(error):
        return BAD_INPUT
    if isinstance(error, OSError) and error.errno in FULL:
        return DISK_FULL
    return DIVERGED if isinstance(error, Diverged) else UNEXPECTED


def _of_memory(error: BaseException) -> bool:
    """Whether the memory was too small: numpy's error, torch's on a GPU, and torch's on a CPU, known by its words."""
    asked_in_vain = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or asked_in_vain


def _of_hydra(error: BaseException) -> bool:
    """Whether Hydra itself raised the error, while it read the command line: some are ordinary ValueErrors."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    raised_in = frames[-1].f_globals.get("__name__", "") if frames else ""
    ordinary = isinstance(error, (ValueError, TypeError, AssertionError))
    return ordinary and raised_in.startswith(("hydra.", "omegaconf."))


def explains_itself(error: Exception) -> bool:
    """Whether the error's own words say all: of one that is expected, or of submitit's that a job cannot be queued
    again."""
    return status_of(error) != UNEXPECTED or type(error).__module__.startswith("submitit.")


def one_line(error: Exception) -> str:
    """What is said of an error that is not unexpected."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, InvalidInput):
        return lines[0]
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return unwritable(error)
    if isinstance(error, OSError) and error.errno in FULL:
        return f"{error.filename or _full_folder(error)}: cannot be written ({error.strerror})"
    text = "; ".join(lines)
    if _of_memory(error):
        asked = re.search(r"allocate (\d+) bytes", text)  # torch's words; numpy's are good as they are
        reason = f"{int(asked[1]):,} bytes were asked for at once" if asked else text[:200]
        return f"not enough memory for so many samples, coordinates and neurons ({reason})"
    if several := re.match(r"Ambiguous value for argument '([^=]+)=(.*?)';", text):
        return f"{several[1]}: received {several[2]}; allowed: one value; with -m, a sweep, one for each of its runs"
    if text.startswith("Error merging override ") and error.__cause__ is not None:
        return f"{text.removeprefix('Error merging override ')}: {str(error.__cause__).splitlines()[0]}"
    if unknown := re.match(r"Could not override '([^']+)'", text):
        return _no_such_key(unknown[1])
    if absent := re.match(r"In '\S+': Could not find '(\S+)/([^'/]*)'; Available options in '\S+':; (.+)", text):
        listed = absent[3].split("; Config search path")[0].split("; ")
        group, name = absent[1], absent[2]
        if group == "experiment/study":  # a folder of the group, whose names begin with it
            group, name = "experiment", f"study/{name}"
        allowed = ", ".join(experiments() if group == "experiment" else listed)
        extra = EXTRAS.get(f"{group}={name}")
        hint = f"it needs an extra: {extra}; " if extra else _nearest_choice(group, name)
        return f"{group}: received {name or 'nothing'}; {hint}allowed: {allowed}"
    if absent := re.match(r"In '\S+': Could not load '(\S+)/([^'/]*)'", text):  # one of several names for one group
        group, name = absent[1], absent[2]
        return f"{group}: received {name}; {_nearest_choice(group, name)}allowed: {', '.join(_choices(group))}"
    return text


def unwritable(error: OSError) -> str:
    """What is said where a run's folder cannot be written."""
    where = error.filename2 or error.filename or Path.cwd()
    key = "hydra.sweep.dir" if _sweeping() else "hydra.run.dir"
    return f"{where}: cannot be written ({error.strerror}); choose another folder with {key}=DIR"


def _full_folder(error: OSError) -> str:
    """Where the file is that a full disk cut off, of an error that does not name it: TensorBoard's, or Hydra's."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    of_events = any(name.startswith("tensorboard.") for name in modules)
    folder = Session.current.sweep or Session.current.run if Session.current is not None else None
    if HydraConfig.initialized():
        folder = Path(HydraConfig.get().runtime.output_dir)
    folder = folder or Path.cwd()
    return f"a file in {folder / 'tensorboard' if of_events else folder}"


def _sweeping() -> bool:
    """Whether the error is that of a sweep, or of one of its jobs, which may have a process of its own."""
    if Session.current is not None and Session.current.sweep is not None:
        return True
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def refused(arguments: Sequence[str]) -> str:
    """What is wrong with the form of the command line, '' where nothing is."""
    if misused := misused_option(arguments):
        return misused
    given = next((word for word in arguments if word.startswith("=")), None) or unreadable(arguments)
    if given is not None:
        return _unread(given)
    for group, value in nameless(arguments, [*presets(), "experiment"]):
        return f"{group}: received {value}; allowed: {', '.join(_choices(group))}"
    completion = {"-sc", "--shell-completion"}.intersection(arguments)
    if completion and not any(word.startswith(("install=", "uninstall=", "query=")) for word in arguments):
        return f"{completion.pop()}: received alone; allowed: with install=bash (zsh, fish) or uninstall=bash"
    return ""


def _unread(given: str) -> str:
    """What to say of an override that Hydra's grammar cannot read: of a value, how to quote it."""
    key, equals, value = given.partition("=")
    if not (key and equals):
        near = get_close_matches(given, ("train", "report", "verify", "benchmark"), n=1)
        return f"{given}: not of the form KEY=VALUE{f'; did you mean {command_of(near[0])}?' if near else ''}"
    if unreadable([f"{key}=1"]):
        return _no_such_key(key)
    return f"{key}: received {value}, which cannot be read as it stands; in quotes: {override(key, value)}"


def _no_such_key(key: str) -> str:
    return f"{key}: no such key; {_nearest_key(key)}all keys: --cfg job"


def _choices(group: str) -> list[str]:
    """What there is to choose from, by name."""
    return list(experiments()) if group == "experiment" else list(presets().get(group, {}))


def _nearest_choice(group: str, name: str) -> str:
    """'did you mean study/lambda?; ' for experiment=lambda."""
    choices = _choices(group)
    ends = [choice for choice in choices if choice.rpartition("/")[2] == name]
    near = ends or get_close_matches(name, choices, n=1)
    return f"did you mean {near[0]}?; " if near else ""


def _nearest_key(key: str) -> str:
    """'did you mean ...?; ' where a key of the configuration is spelt like this one, or ends like it; for a key that
    belongs to another choice of its group, that choice."""
    made = presets()
    owners: dict[str, list[str]] = {}
    for group, choices in made.items():
        for name, values in choices.items():
            for inner in values:
                owners.setdefault(f"{group}.{inner}", []).append(name)
    if key in owners:
        group = key.partition(".")[0]
        return f"it belongs to {' or '.join(f'{group}={name}' for name in owners[key])}: write that too; "
    ends = [known for known in owners if known.rpartition(".")[2] == key]
    near = ends or get_close_matches(key, [*sorted(owners), *RunConfig().to_dict(), "experiment"], n=1)
    return f"did you mean {near[0]}?; " if near else ""
