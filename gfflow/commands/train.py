"""The command line: `gfflow-train [experiment=NAME] [KEY=VALUE ...] [-m]`."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from gfflow.config import RunConfig, presets
from gfflow.errors import Diverged, Interrupted, InvalidInput
from gfflow.reference import CONF, as_help
from gfflow.training.signals import end_if_stopped, received, stopped_by_signals

UNEXPECTED, BAD_INPUT, DIVERGED, DISK_FULL = 1, 2, 3, 4  # exit statuses
_ended: list[tuple[str, int]] = []  # message and exit status of a single run that failed, for main to tell

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
    counts that as a failed trial and goes on, whereas NaN ends it with a traceback. An exception must not leave this
    function for the failures that have a message of their own: Hydra would print its own line, and in a sweep tell
    only the first of them, at the end."""
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    sweeping = job.mode == RunMode.MULTIRUN
    if sweeping:
        from gfflow.commands.sweep import end_with_sweep, forget_failure, record_failure

        end_if_stopped()
        end_with_sweep()
        forget_failure(folder)
    try:
        value = _run(config, job, folder)
        if sweeping:
            end_if_stopped()
        return None if math.isnan(value) else value
    except Interrupted as error:
        if sweeping:
            sys.exit(128 + error.signal)
        _ended.append((f"{error}; go on with resume={folder}", 128 + error.signal))
    except Exception as error:
        end_if_stopped()  # the error is what became of the interruption
        status = _status(error)
        if sweeping:
            detail = _one_line(error) if status != UNEXPECTED else traceback.format_exc()
            record_failure(folder, " ".join(job.overrides.task), detail, status)
            if config.fail_fast:
                sys.exit(status)
        elif status == UNEXPECTED:
            raise
        else:
            _ended.append((_one_line(error), status))
    finally:
        _remove_if_empty(folder)
    return None


def _run(config: DictConfig, job: Any, folder: Path) -> float:
    values: Any = OmegaConf.to_container(config, resolve=True)
    files = {
        ".hydra/config.yaml": OmegaConf.to_yaml(config, resolve=True),
        ".hydra/hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": OmegaConf.masked_copy(job, list(job))})),
        ".hydra/overrides.yaml": OmegaConf.to_yaml(job.overrides.task),
    }
    if values["resume"] is True:
        values["resume"] = "auto"
    if values["resume"] not in (None, "auto"):
        folder, values = _begun(str(values["resume"]), job.overrides.task)
        files = {}
    settings = RunConfig.of(values)
    from gfflow.run import train  # Lightning is heavy: not before the configuration is known to be good

    return number_at(train(settings, folder, files=files), settings.optimized_metric)


def _begun(folder: str, overrides: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    """The folder of an earlier run and its configuration, set to go on; it takes no overrides but how to show it."""
    others = [o for o in overrides if not o.startswith(("resume=", "verbose=", "figures="))]
    if others:
        raise InvalidInput("resume", " ".join(others), "resume=RUN_DIR alone: the run goes on as it was configured")
    path = Path(folder) / ".hydra" / "config.yaml"
    try:
        values: Any = dict(OmegaConf.to_container(OmegaConf.load(path)))  # type: ignore[arg-type]
    except (OSError, TypeError, ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput("resume", folder, f"null, auto, or the folder of a run ({reason})") from None
    shown = [o.split("=", 1) for o in overrides if not o.startswith("resume=")]
    return Path(folder), {**values, "resume": "auto", **{key: value == "true" for key, value in shown}}


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


def _status(error: Exception) -> int:
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


def main() -> None:
    """Runs the command line; exit status 2 for bad input (one line), 3 where training diverged, 128 + signal where
    one stopped it; after a sweep, the largest of its failed jobs' statuses."""
    if answer := _answer(sys.argv[1:]):
        _show(answer)
        return
    from gfflow.commands.sweep import compose_one_of_each_kind, failed_jobs, under_way

    store_presets()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # exceptions arrive here instead of Hydra's own printing
    _ended.clear()
    under_way.clear()
    compose_one_of_each_kind()
    try:
        with stopped_by_signals():
            _job()
    except BaseException as error:
        _ended.append(_what_ended(error))
    finally:
        received.clear()
    failed = failed_jobs(under_way[0]) if under_way else []
    for message, _ in _ended:
        print(f"gfflow: {message}", file=sys.stderr)
    if failed:
        print(f"gfflow: {len(failed)} job(s) of the sweep failed:", file=sys.stderr)
        for message, _ in failed:
            print(f"  {message}", file=sys.stderr)
    statuses = [status for _, status in (*_ended, *failed)]
    if statuses:
        sys.exit(max(statuses))


def _answer(arguments: Sequence[str]) -> str:
    """The text that --help or --version asks for, '' where neither is there."""
    if "--version" in arguments:
        from gfflow import __version__

        return f"gfflow {__version__}"
    if "--help" in arguments or "-h" in arguments:
        return as_help(width=min(120, max(80, shutil.get_terminal_size((110, 24)).columns)))
    return ""


def _show(text: str) -> None:
    """Prints, as far as it is read: `--help | head` ends without a traceback."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left goes nowhere


def _what_ended(error: BaseException) -> tuple[str, int]:
    """Message and exit status of what ended the command outside a job of its own; raises it again if it has none, as
    that of --help. After a signal it is the interruption, whatever has become of that."""
    from gfflow.commands.sweep import under_way

    if received or isinstance(error, KeyboardInterrupt):
        return _interrupted(128 + (received or [signal.SIGINT])[0])
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return _one_line(error), BAD_INPUT
    if under_way and isinstance(error, SystemExit) and isinstance(error.code, int):
        interrupted = error.code > 128  # in training, which has its own handlers
        return _interrupted(error.code) if interrupted else ("the sweep was ended by its first failure", error.code)
    raise error


def _interrupted(status: int) -> tuple[str, int]:
    """What a person is told of an interruption, in a sweep with the way to go on, and the exit status."""
    from gfflow.commands.sweep import under_way

    if not under_way:
        return "interrupted", status
    done = len(list(under_way[0].glob("*/summary.json")))
    how = f"go on with the same command and resume=true hydra.sweep.dir={under_way[0]}"
    return f"sweep interrupted, {done} job(s) have ended; {how}", status


def command() -> None:
    """main, as a process of its own. A single run that a signal has stopped has everything on the disk: it leaves
    without the interpreter's farewell to torch, which takes longer than all else."""
    tell = threading.excepthook
    threading.excepthook = lambda told: (
        None if isinstance(told.exc_value, OSError) else tell(told)
    )  # main tells it too
    try:
        main()
    except SystemExit as ended:
        from gfflow.commands.sweep import under_way

        if ended.code not in (130, 143) or under_way:  # a sweep's workers are still to be ended
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, InvalidInput):
        return lines[0]
    text = "; ".join(lines)
    if unknown := re.match(r"Could not override '([^']+)'", text):
        return f"{unknown[1]}: no such key; {_nearest_key(unknown[1])}all keys: --cfg job"
    if absent := re.match(r"In '\S+': Could not find '(\S+)/([^'/]+)'; Available options in '\S+':; (.+)", text):
        allowed = absent[3].split("; Config search path")[0].replace("; ", ", ")
        return f"{absent[1]}: received {absent[2]}; allowed: {allowed}"
    return text


def _nearest_key(key: str) -> str:
    """'did you mean ...?; ' where a key of the configuration is spelt like this one."""
    made = presets()
    known = {f"{group}.{inner}" for group in made for values in made[group].values() for inner in values}
    near = get_close_matches(key, [*sorted(known), *RunConfig().to_dict(), "experiment"], n=1)
    return f"did you mean {near[0]}?; " if near else ""
