"""The command line: `gfflow-train [experiment=NAME] [KEY=VALUE ...] [-m]`."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
import signal
import sys
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

from gfflow.commands.session import Session
from gfflow.config import RunConfig, presets
from gfflow.errors import Diverged, Interrupted, InvalidInput
from gfflow.reference import CONF, as_help
from gfflow.training.signals import end_if_stopped

SHOWN = ("verbose", "figures")
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
        _failed(f"{error}; go on with resume={folder}", 128 + error.signal)
    except Exception as error:
        end_if_stopped()  # after a signal the error is only its consequence: some library turned one into the other
        status = _status(error)
        if sweeping:
            detail = _one_line(error) if status != UNEXPECTED else traceback.format_exc()
            record_failure(folder, " ".join(job.overrides.task), detail, status)
            if config.fail_fast:
                sys.exit(status)
        elif status == UNEXPECTED:
            raise
        else:
            _failed(_one_line(error), status)
    finally:
        _remove_if_empty(folder)
    return None


def _failed(message: str, status: int) -> None:
    """Records the failure of a single run, which the session reports at its end."""
    assert Session.current is not None, "a single run is a job of the process that was called"
    Session.current.failures.append((message, status))


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
        folder, values = _configuration_of(str(values["resume"]), job.overrides.task)
        files = {}
    settings = RunConfig.of(values)
    from gfflow.run import train  # Lightning is heavy: not before the configuration is known to be good

    return number_at(train(settings, folder, files=files), settings.optimized_metric)


def _configuration_of(folder: str, overrides: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    """The folder of an earlier run and its configuration, set to go on, with the overrides that it may take: those of
    SHOWN, which change what is shown of the run and nothing in it."""
    parser = OverridesParser.create()
    parsed = {override: parser.parse_override(override) for override in overrides}
    others = [text for text, override in parsed.items() if override.key_or_group not in ("resume", *SHOWN)]
    if others:
        raise InvalidInput("resume", " ".join(others), "resume=RUN_DIR alone: the run goes on as it was configured")
    shown = {o.key_or_group: o.value() for o in parsed.values() if o.key_or_group in SHOWN}
    path = Path(folder) / ".hydra" / "config.yaml"
    try:
        values: Any = dict(OmegaConf.to_container(OmegaConf.load(path)))  # type: ignore[arg-type]
    except (OSError, TypeError, ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput("resume", folder, f"null, auto, or the folder of a run ({reason})") from None
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


def main(session: Session | None = None) -> None:
    """Runs the command line; exit status 2 for bad input (one line), 3 where training diverged, 128 + signal where
    one stopped it; after a sweep, the largest of its failed jobs' statuses."""
    if answer := _answer(sys.argv[1:]):
        _show(answer)
        return
    from gfflow.commands.sweep import compose_one_of_each_kind, failed_jobs

    store_presets()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # exceptions arrive here instead of Hydra's own printing
    compose_one_of_each_kind()
    with session or Session() as session:
        try:
            with session.signals:
                _job()
        except BaseException as error:
            session.failures.append(_what_ended(error, session))
        failed = failed_jobs(session.sweep) if session.sweep else []
        for message, _ in session.failures:
            print(f"gfflow: {message}", file=sys.stderr)
        if failed:
            print(f"gfflow: {len(failed)} job(s) of the sweep failed:", file=sys.stderr)
            for message, _ in failed:
                print(f"  {message}", file=sys.stderr)
        statuses = [status for _, status in (*session.failures, *failed)]
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


def _what_ended(error: BaseException, session: Session) -> tuple[str, int]:
    """Message and exit status for what ended the command outside a job of its own; raises the error again where it
    has its own way out, as that of --help. After a signal the message is that of an interruption, whatever exception
    it has been turned into."""
    received = session.signals.received
    if received or isinstance(error, KeyboardInterrupt):
        return _interrupted(128 + (received or [signal.SIGINT])[0], session.sweep)
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return _one_line(error), BAD_INPUT
    if session.sweep and isinstance(error, SystemExit) and isinstance(error.code, int):
        if error.code > 128:  # a signal in training, which has its own handlers
            return _interrupted(error.code, session.sweep)
        return "the sweep was ended by its first failure", error.code
    raise error


def _interrupted(status: int, sweep: Path | None) -> tuple[str, int]:
    """The message for an interruption, in a sweep with the way to go on, and the exit status."""
    if sweep is None:
        return "interrupted", status
    done = len(list(sweep.glob("*/summary.json")))
    how = f"go on with the same command and resume=true hydra.sweep.dir={sweep}"
    return f"sweep interrupted, {done} job(s) have ended; {how}", status


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
