"""The command line: `gfflow-train [experiment=NAME] [KEY=VALUE ...] [-m]`."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from gfflow.commands.jobs import count_summaries
from gfflow.commands.session import Session
from gfflow.commands.streams import prepare
from gfflow.commands.words import as_typed, command_of, override, unreadable
from gfflow.config import RunConfig, presets
from gfflow.errors import Diverged, Interrupted, InvalidInput
from gfflow.reference import CONF, as_help, experiments
from gfflow.training.signals import end_if_stopped

SHOWN = ("verbose", "figures")
EXTENDED = ("solver.iterations", "solver.stop_loss")  # of a run that goes on: how far
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)
UNEXPECTED, BAD_INPUT, DIVERGED, DISK_FULL = 1, 2, 3, 4  # exit statuses

# ${steps:T,ETA} in a configuration: how many steps of size ETA make the flow time T
OmegaConf.register_new_resolver("steps", lambda time, step_size: round(time / step_size), replace=True)
# ${run_name:EXPERIMENT,DATA}: the experiment's name; on other data than its own, as on that of a CSV file, the data's
OmegaConf.register_new_resolver(
    "run_name", lambda name, data: data if name == "fig2" and data != "orthogonal_pair" else name, replace=True
)


def store_presets() -> None:
    """Gives Hydra what GROUP=NAME may choose, as far as it is registered by now."""
    store = ConfigStore.instance()
    for group, choices in presets().items():
        for name, values in choices.items():
            store.store(name, values, group=group, provider="gfflow")


store_presets()


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def _job(config: DictConfig) -> float | None:
    """One run, alone or as a job of a sweep; returns the optimized metric, None where there is none: optuna's sweeper
    counts that as a failed trial and goes on, whereas NaN ends it with a traceback. Failures that have a message of
    their own must not leave this function as exceptions: Hydra would print its own line, and of a sweep's failures
    only the first, at the end."""
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    if job.mode == RunMode.MULTIRUN:
        return _job_of_sweep(config, job, folder)
    try:
        return _run(config, job, folder)[1]
    except Interrupted as error:
        _failed(f"{error}; {_how_to_go_on()}", 128 + error.signal)
    except Exception as error:
        end_if_stopped()  # after a signal the error is only its consequence: some library turned one into the other
        if _status(error) == UNEXPECTED:
            raise
        _failed(_one_line(error), _status(error))
    finally:
        _remove_if_empty(folder)
    return None


def _job_of_sweep(config: DictConfig, job: Any, folder: Path) -> float | None:
    """One run of a sweep, with the record of how it ended."""
    from gfflow.commands.jobs import Ended, numbers_of, record
    from gfflow.commands.sweep import end_with_sweep, forget_failure, note_failure

    end_if_stopped()
    end_with_sweep()
    forget_failure(folder)
    began, overrides = time.monotonic(), list(job.overrides.task)
    status, message, numbers, value = 0, "", {}, None
    try:
        summary, number = _run(config, job, folder)
        end_if_stopped()
        numbers, value = numbers_of(summary, config.optimized_metric, number), None if math.isnan(number) else number
    except Interrupted as error:
        sys.exit(128 + error.signal)
    except Exception as error:
        end_if_stopped()
        status = _status(error)
        message = _one_line(error) if status != UNEXPECTED else traceback.format_exc()
        note_failure(folder, overrides, message, status)
    finally:
        _remove_if_empty(folder)
    seconds = time.monotonic() - began
    record(Path(job.sweep.dir), Ended(job.job.num, str(folder), overrides, seconds, status, message, numbers, value))
    if status and config.fail_fast:
        sys.exit(status)
    return value


def _failed(message: str, status: int) -> None:
    """Records the failure of a single run, which the session reports at its end."""
    assert Session.current is not None, "a single run is a job of the process that was called"
    Session.current.failures.append((message, status))


def _run(config: DictConfig, job: Any, folder: Path) -> tuple[dict[str, Any], float]:
    """Trains; returns the summary, and of it the optimized metric (NaN: there is none)."""
    values: Any = OmegaConf.to_container(config, resolve=True)
    files = {
        ".hydra/config.yaml": OmegaConf.to_yaml(config, resolve=True),
        ".hydra/hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": OmegaConf.masked_copy(job, list(job))})),
        ".hydra/overrides.yaml": OmegaConf.to_yaml(job.overrides.task),
    }
    if values["resume"] is True:
        values["resume"] = "auto"
    if values["resume"] not in (None, "auto"):
        folder, values = _configuration_of(str(values["resume"]), job.overrides.task)
        files = {}
    if job.mode == RunMode.MULTIRUN:
        values["verbose"] = False  # a line for each job instead, in the process that was called
    elif params := job.sweeper.get("params"):
        name = job.runtime.choices.get("experiment")
        print(f"{name} is a study: this is one run of it; -m runs all ({', '.join(params)})", file=sys.stderr)
    settings = RunConfig.of(values)
    if Session.current is not None and job.mode != RunMode.MULTIRUN:
        Session.current.run = folder
    from gfflow.run import train  # Lightning is heavy: not before the configuration is known to be good

    summary = train(settings, folder, files=files)
    return summary, number_at(summary, settings.optimized_metric)


def _configuration_of(folder: str, overrides: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    """The folder of an earlier run and its configuration, set to go on, with the overrides that it may take: those of
    SHOWN, which change what is shown of the run and nothing in it, and of EXTENDED, which let it go on for longer."""
    parser = OverridesParser.create()
    parsed = {override: parser.parse_override(override) for override in overrides}
    others = [text for text, override in parsed.items() if override.key_or_group not in ("resume", *SHOWN, *EXTENDED)]
    if others:
        allowed = f"resume=RUN_DIR alone, or with {', '.join(EXTENDED)}: the run goes on as it was configured"
        raise InvalidInput("resume", " ".join(others), allowed)
    shown = {o.key_or_group: o.value() for o in parsed.values() if o.key_or_group in SHOWN}
    further = {o.key_or_group.partition(".")[2]: o.value() for o in parsed.values() if o.key_or_group in EXTENDED}
    path = Path(folder) / ".hydra" / "config.yaml"
    try:
        values: Any = dict(OmegaConf.to_container(OmegaConf.load(path)))  # type: ignore[arg-type]
    except (OSError, TypeError, ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput("resume", folder, f"null, auto, or the folder of a run ({reason})") from None
    if further:
        values["solver"] = {**values["solver"], **further}
    return Path(folder), {**values, "resume": "auto", **shown}


def number_at(summary: Mapping[str, Any], path: str) -> float:
    """The number at a dotted path of the summary, what a sweeper such as optuna's minimises; NaN where the summary
    has null there or on the way. Raises InvalidInput for a path that is not there, or that leads to no number."""
    value: Any = summary
    passed: list[str] = []
    for key in path.split("."):
        if value is None:
            return math.nan
        if not isinstance(value, Mapping) or key not in value:
            place = f" in {'.'.join(passed)}" if passed else " in summary.json"
            known = ", ".join(value) if isinstance(value, Mapping) else "nothing: it is a value already"
            raise InvalidInput("optimized_metric", path, f"a dotted path{place}: {known}")
        value = value[key]
        passed.append(key)
    if value is None:
        return math.nan
    if not isinstance(value, (int, float)):
        raise InvalidInput("optimized_metric", path, "a dotted path in summary.json to a number")
    return float(value)


def _status(error: BaseException) -> int:
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return BAD_INPUT
    if isinstance(error, (InvalidInput, HydraException, OmegaConfBaseException)):
        return BAD_INPUT
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DISK_FULL
    return DIVERGED if isinstance(error, Diverged) else UNEXPECTED


def _remove_if_empty(folder: Path) -> None:
    """Takes away the folder that Hydra made for a run that never began, and those above it left empty by that."""
    for empty in (folder, *(parent for parent in folder.parents if Path.cwd() in parent.parents)):
        try:
            empty.rmdir()
        except OSError:
            return


def main(session: Session | None = None) -> None:
    """Runs the command line; exit status 2 for bad input (one line), 3 where training diverged, 128 + signal where
    one stopped it; after a sweep, the largest of its failed jobs' statuses."""
    prepare()
    if answer := _answer(sys.argv[1:]):
        _show(answer)
        return
    sys.argv[1:] = as_typed(sys.argv[1:])
    if refused := _refused(sys.argv[1:]):
        print(f"gfflow: {refused}", file=sys.stderr)
        sys.exit(BAD_INPUT)

    from gfflow.commands.sweep import compose_one_of_each_kind

    store_presets()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # exceptions arrive here instead of Hydra's own printing
    compose_one_of_each_kind()
    with session or Session() as session, session.signals:
        try:
            try:
                _job()
            except BaseException as error:
                session.signals.hold()
                session.failures.append(_what_ended(error, session))
            session.signals.hold()
        except KeyboardInterrupt as error:  # a second signal, between the first and `hold`
            session.signals.hold()
            session.failures.append(_what_ended(error, session))
        if statuses := _report(session):
            sys.exit(max(statuses))


def _report(session: Session) -> list[int]:
    """Says how a sweep has ended, and what has failed; returns the exit statuses of what has."""
    failed = []
    if (watch := session.watch) is not None:
        watch.stop()
        failed = watch.failed
        if not (session.failures or watch.quiet):
            print(watch.closing(*session.searched or (None,)), flush=True)
    for message, _ in session.failures:
        print(f"gfflow: {message}", file=sys.stderr)
    if failed:
        print(f"gfflow: {len(failed)} job(s) of the sweep failed:", file=sys.stderr)
        for ended in failed:
            print(f"  {ended.failure}", file=sys.stderr)
    return [*(status for _, status in session.failures), *(ended.status for ended in failed)]


def _refused(arguments: Sequence[str]) -> str:
    """What is wrong with the form of the command line, '' where nothing is."""
    if (given := unreadable(arguments)) is not None:
        return _unread(given)
    completion = {"-sc", "--shell-completion"}.intersection(arguments)
    if completion and not any(word.startswith(("install=", "uninstall=", "query=")) for word in arguments):
        return f"{completion.pop()}: received alone; allowed: with install=bash (zsh, fish) or uninstall=bash"
    return ""


def _answer(arguments: Sequence[str]) -> str:
    """The text that --help or --version asks for, '' where neither is there."""
    if "--version" in arguments:
        from gfflow import __version__

        return f"gfflow {__version__}"
    if "--help" in arguments or "-h" in arguments:
        return as_help(command_of("train"), width=min(120, max(80, shutil.get_terminal_size((110, 24)).columns)))
    return ""


def _show(text: str) -> None:
    """Prints, as far as it is read: `--help | head` ends without a traceback."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left goes nowhere


def _what_ended(error: BaseException, session: Session) -> tuple[str, int]:
    """Message and exit status for what ended the command outside a job of its own; raises the error again where it
    has its own way out, as that of --help. After a signal the message is that of an interruption, whatever exception
    it has been turned into."""
    received = session.signals.received
    if received or isinstance(error, KeyboardInterrupt):
        return _interrupted(128 + (received or [signal.SIGINT])[0], session)
    if isinstance(error, FileNotFoundError):  # Hydra could not make the run's folder
        return _unwritable(error), BAD_INPUT
    if isinstance(error, Exception) and _status(error) in (BAD_INPUT, DISK_FULL):
        return _one_line(error), _status(error)
    if session.sweep and isinstance(error, SystemExit) and isinstance(error.code, int):
        if error.code > 128:  # a signal in training, which has its own handlers
            return _interrupted(error.code, session)
        return "the sweep was ended by its first failure", error.code
    raise error


def _interrupted(status: int, session: Session) -> tuple[str, int]:
    """The message for an interruption, with the way to go on where something has begun, and the exit status."""
    if session.sweep is None:
        how = _how_to_go_on()
        return f"interrupted; {how}" if how else "interrupted", status
    done = count_summaries(session.sweep)
    how = f"go on with the same command and resume=true {override('hydra.sweep.dir', session.sweep)}"
    return f"sweep interrupted, {done} job(s) have ended; {how}", status


def _how_to_go_on() -> str:
    """What to type to go on with the single run; '' where none has begun to be written."""
    folder = Session.current.run if Session.current is not None else None
    if folder is None or not (folder / ".hydra" / "config.yaml").exists():
        return ""
    return f"go on with {override('resume', folder)}"


def command() -> None:
    """main, as a process of its own. A single run that a signal has stopped has everything on the disk: its process
    ends without the interpreter's usual shutdown, which takes longer than all the rest once torch is loaded."""
    session = Session()
    try:
        main(session)
    except SystemExit as ended:
        if ended.code not in (130, 143) or session.sweep:  # a sweep's workers are still to be ended
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, InvalidInput):
        return lines[0]
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return _unwritable(error)
    text = "; ".join(lines)
    if unknown := re.match(r"Could not override '([^']+)'", text):
        return f"{unknown[1]}: no such key; {_nearest_key(unknown[1])}all keys: --cfg job"
    if absent := re.match(r"In '\S+': Could not find '(\S+)/([^'/]+)'; Available options in '\S+':; (.+)", text):
        allowed = absent[3].split("; Config search path")[0].replace("; ", ", ")
        return f"{absent[1]}: received {absent[2]}; {_nearest_choice(*absent.groups()[:2])}allowed: {allowed}"
    return text


def _unwritable(error: OSError) -> str:
    where = error.filename2 or error.filename or Path.cwd()
    return f"{where}: cannot be written ({error.strerror}); choose another folder with hydra.run.dir=DIR"


def _unread(given: str) -> str:
    """What to say of an override that Hydra's grammar cannot read: of a value, how to quote it."""
    key, equals, value = given.partition("=")
    if not equals or not re.fullmatch(r"[+~]*[\w./@-]+", key):
        return f"{given}: not of the form KEY=VALUE"
    return f"{key}: received {value}, which cannot be read as it stands; in quotes: {override(key, value)}"


def _nearest_choice(group: str, name: str) -> str:
    """'did you mean study/lambda?; ' for experiment=lambda."""
    choices = list(experiments()) if group == "experiment" else list(presets().get(group, {}))
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
