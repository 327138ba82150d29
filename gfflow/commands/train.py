"""The command line: `gfflow-train [experiment=NAME] [KEY=VALUE ...] [-m]`."""

from __future__ import annotations

import gc
import math
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gfflow.commands import slurm
from gfflow.commands.failures import (
    BAD_INPUT,
    DISK_FULL,
    UNEXPECTED,
    explains_itself,
    one_line,
    refused,
    status_of,
    unwritable,
)
from gfflow.commands.jobs import Ended, count_summaries, number_at, numbers_of, record
from gfflow.commands.resuming import configuration_of, how_to_go_on
from gfflow.commands.session import Session
from gfflow.commands.streams import prepare, warnings_in_one_line
from gfflow.commands.words import as_typed, command_of, override
from gfflow.config import RunConfig, presets
from gfflow.errors import Interrupted
from gfflow.reference import CONF, as_help
from gfflow.training.signals import end_if_stopped, note_received

OTHERS = {  # commands that --help names beside this one
    "report": ("DIR", "every figure of a run, or table and figures of a sweep"),
    "verify": ("RUN_DIR", "every statement of the paper, checked on a run"),
    "benchmark": ("--quick", "speed against a plain PyTorch loop"),
}

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
        note_received(error.signal)
        _failed(f"{error}; {_going_on()}", 128 + error.signal)
    except Exception as error:
        end_if_stopped()  # after a signal the error is only its consequence: some library turned one into the other
        if status_of(error) == UNEXPECTED:
            raise
        _failed(one_line(error), status_of(error))
    finally:
        _remove_if_empty(folder)
    return None


def _job_of_sweep(config: DictConfig, job: Any, folder: Path) -> float | None:
    """One run of a sweep, with the record of how it ended."""
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
        note_received(error.signal)
        sys.exit(128 + error.signal)
    except Exception as error:
        end_if_stopped()
        status = status_of(error)
        message = one_line(error) if explains_itself(error) else traceback.format_exc()
        note_failure(folder, overrides, message, status)
    finally:
        _remove_if_empty(folder)
    gc.collect()  # a trainer and its module hold each other: their tensors go before the next job's come
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
    if values["resume"] is True or (values["resume"] is None and slurm.restarted()):
        values["resume"] = "auto"
    if values["resume"] not in (None, "auto"):
        folder, values = configuration_of(str(values["resume"]), job.overrides.task)
        files = {}
    if job.mode == RunMode.MULTIRUN:
        values["verbose"] = False  # a line for each job instead, in the process that was called
    elif params := job.sweeper.get("params"):
        name = job.runtime.choices.get("experiment")
        print(f"{name} is a study: this is one run of it; -m runs all ({', '.join(params)})", file=sys.stderr)
    settings = RunConfig.of(values)
    if Session.current is not None and job.mode != RunMode.MULTIRUN:
        Session.current.run = folder
    from gfflow.commands.metric import check_metric
    from gfflow.commands.sweep import varied_keys

    check_metric(settings.optimized_metric, settings.ensemble.many)
    from gfflow.run import train  # Lightning is heavy: not before the configuration is known to be good

    _settle()
    varied = varied_keys(job.overrides.task) if job.mode == RunMode.MULTIRUN else ()
    with warnings_in_one_line():
        summary = train(settings, folder, files=files, varied=varied)
    return summary, number_at(summary, settings.optimized_metric)


@cache
def _settle() -> None:
    """Once in a process: what is imported by now stays to its end, so that no search for garbage goes through it."""
    gc.freeze()


def _remove_if_empty(folder: Path) -> None:
    """Takes away the folder that Hydra made for what never began, and those above it left empty by that."""
    for empty in (folder, *(parent for parent in folder.absolute().parents if Path.cwd() in parent.parents)):
        try:
            empty.rmdir()
        except OSError:
            return


def main(session: Session | None = None) -> None:
    """Runs the command line; exit status 2 for bad input (one line), 3 where training diverged, 128 + signal where
    one stopped it; after a sweep, the largest of its failed jobs' statuses."""
    prepare()
    if answer := _answer(sys.argv[1:]):
        print(answer)
        return
    sys.argv[1:] = as_typed(sys.argv[1:])
    if wrong := refused(sys.argv[1:]):
        print(f"gfflow: {wrong}", file=sys.stderr)
        sys.exit(BAD_INPUT)

    from gfflow.commands.launchers import outlive_jobs
    from gfflow.commands.sweep import compose_one_of_each_kind

    store_presets()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # exceptions arrive here instead of Hydra's own printing
    compose_one_of_each_kind()
    outlive_jobs()
    with session or Session() as session, session.signals:
        try:
            try:
                _job()
            except BaseException as error:
                session.signals.hold()
                _note_end(error, session)
            session.signals.hold()
        except KeyboardInterrupt as error:  # a second signal, between the first and `hold`
            session.signals.hold()
            _note_end(error, session)
        if statuses := _report(session):
            sys.exit(max(statuses))


def _report(session: Session) -> list[int]:
    """Says how a sweep has ended, and what has failed; returns the exit statuses of what has."""
    failed = []
    if (watch := session.watch) is not None:
        from gfflow.commands.sweep import forget_refused

        watch.stop()
        failed = watch.failed
        statuses = {ended.status for ended in watch.ended.values()} | {status for _, status in session.failures}
        gone = session.made and statuses == {BAD_INPUT} and forget_refused(watch.sweep)
        if gone:
            _remove_if_empty(watch.sweep)
        if not (gone or session.failures or watch.quiet):
            print(watch.closing(*session.searched or (None,)), flush=True)
    for message, _ in session.failures:
        print(f"gfflow: {message}", file=sys.stderr)
    if failed:
        print(f"gfflow: {len(failed)} job(s) of the sweep failed:", file=sys.stderr)
        for ended in failed:
            print(f"  {ended.failure}", file=sys.stderr)
    return [*(status for _, status in session.failures), *(ended.status for ended in failed)]


def _answer(arguments: Sequence[str]) -> str:
    """The text that --help or --version asks for, '' where neither is there."""
    if "--version" in arguments:
        from gfflow import __version__

        return f"gfflow {__version__}"
    if "--help" in arguments or "-h" in arguments:
        others = {f"{command_of(name)} {words}".strip(): does for name, (words, does) in OTHERS.items()}
        width = min(120, max(80, shutil.get_terminal_size((110, 24)).columns))
        return as_help(command_of("train"), width, others)
    return ""


def _note_end(error: BaseException, session: Session) -> None:
    """Notes for `_report` what ended the command; of several signals the first alone."""
    ended = _what_ended(error, session)
    if not any(status > 128 for _, status in session.failures):
        session.failures.append(ended)


def _what_ended(error: BaseException, session: Session) -> tuple[str, int]:
    """Message and exit status for what ended the command outside a job of its own; raises the error again where it
    has its own way out, as that of --help. After a signal the message is that of an interruption, whatever exception
    it has been turned into."""
    received = session.signals.received
    if received or isinstance(error, KeyboardInterrupt):
        return _interrupted(128 + (received or [signal.SIGINT])[0], session)
    if isinstance(error, FileNotFoundError):  # Hydra could not make the run's folder
        return unwritable(error), BAD_INPUT
    if isinstance(error, Exception) and status_of(error) in (BAD_INPUT, DISK_FULL):
        return one_line(error), status_of(error)
    if session.sweep and isinstance(error, SystemExit) and isinstance(error.code, int):
        if error.code > 128:  # a signal in training, which has its own handlers
            return _interrupted(error.code, session)
        return "the sweep was ended by its first failure", error.code
    raise error


def _interrupted(status: int, session: Session) -> tuple[str, int]:
    """The message for an interruption, with the way to go on where something has begun, and the exit status."""
    if session.sweep is None:
        how = _going_on()
        return f"interrupted; {how}" if how else "interrupted", status
    done = count_summaries(session.sweep)
    how = f"go on with the same command and resume=true {override('hydra.sweep.dir', session.sweep)}"
    if session.submitted:
        names = sorted({job.partition("_")[0] for job in session.submitted}, key=int)
        stop = f"{session.cancel} {' '.join(names)}"
        run_on = f"{len(session.submitted)} run on: wait for them, or stop them with {stop}; then"
        return f"sweep interrupted, {done} job(s) have ended, {run_on} {how}", status
    return f"sweep interrupted, {done} job(s) have ended; {how}", status


def _going_on() -> str:
    """How to go on with the single run of this process; '' where none has begun."""
    folder = Session.current.run if Session.current is not None else None
    return "" if folder is None else how_to_go_on(folder)


def command() -> None:
    """main, as a process of its own. A single run that a signal has stopped has everything on the disk: its process
    ends without the interpreter's usual shutdown, which takes longer than all the rest once torch is loaded."""
    session = Session()
    try:
        main(session)
    except SystemExit as ended:
        if ended.code not in (130, 143) or session.sweep:  # a sweep's workers are still to be ended
            raise
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # closed by whoever called
                stream.flush()
        os._exit(ended.code)
