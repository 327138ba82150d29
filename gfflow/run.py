"""One run: predict, train, measure, summarise."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml
from lightning.pytorch.loggers.logger import Logger
from rich.console import Console

from gfflow import callbacks as cb
from gfflow.cautions import why_diverged
from gfflow.config import RunConfig
from gfflow.ending import log_statistics, write_ending
from gfflow.ensemble import check_objects, forget_store, others_beside
from gfflow.errors import Diverged, Interrupted, InvalidInput
from gfflow.experiment import Experiment, as_given, build, measuring_callbacks, typed, with_given
from gfflow.model.data import Samples
from gfflow.model.neurons import Start
from gfflow.records.dashboard import (
    run_label,
    write_hyperparameters,
    write_opening,
)
from gfflow.records.files import UNFINISHED, write_text
from gfflow.records.folder import (
    check_same_configuration,
    claimed,
    goes_further,
    holds_run,
    read_checkpoint,
    read_summary,
    reason_of,
)
from gfflow.records.loggers import EventLogger, MetricsTable
from gfflow.records.run import as_path
from gfflow.records.summarise import summarise
from gfflow.records.trackers import record_configuration, trackers
from gfflow.solvers import Solver
from gfflow.statements.output import print_report
from gfflow.terminal import announce_compilation, announce_prediction, print_closing, print_notes
from gfflow.threads import at_most, threads_for
from gfflow.training.environment import OneProcess, first_of_all
from gfflow.training.module import GradientFlowModule

__all__ = ["Experiment", "build", "train"]


def train(
    config: RunConfig | Mapping[str, Any],
    folder: str | Path,
    training_set: Samples | None = None,
    files: Mapping[str, str] | None = None,
    *,
    solver: Solver | None = None,
    start: Start | None = None,
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[Logger] = (),
    varied: Sequence[str] = (),
) -> dict[str, Any]:
    """Runs the configuration and leaves everything in the folder; returns what summary.json holds (read the rest back
    with Run.read).

    The configuration may be a RunConfig or nested plain values. Objects take the place of what it says, or join it: a
    `training_set` (or a pair (x, y)) instead of its data; a `start` (Neurons, or a pair (w, a)) instead of its own,
    whose width then counts; a `solver` instead of its own, whose step size then counts;
    `callbacks` beside its own, one of the same class instead of that; `loggers`, any of Lightning's, beside
    metrics.csv and TensorBoard.

    `varied` are the keys of the configuration that tell this run from others of its kind, such as those of a sweep:
    TensorBoard names the run by their values and shows them first.

    `files` are written into the folder first, by relative path (None: the configuration, as Hydra would). A folder
    that holds a run already is refused, unless config.resume is 'auto': the run there then goes on from its last
    checkpoint, exactly as if it had never been interrupted (given the same objects), or is left alone, before
    anything is predicted, if it has come to its end.

    With ensemble.size above 1 the run has as many members (gfflow/ensemble): what is said here holds of the first,
    and one that diverges is counted and named instead.

    Raises InvalidInput before anything is written, Interrupted where a signal stopped the run (those of
    callbacks.Interruption), KeyboardInterrupt where a second Ctrl-C came before it had, and Diverged, after all is
    written, where the weights left the finite numbers.
    """
    folder, asked = as_path(folder), typed(config)
    callbacks = _listed("callbacks", callbacks, pl.Callback, "a list of Lightning's callbacks")
    loggers = _listed("loggers", loggers, Logger, "a list of Lightning's loggers")
    if asked.ensemble.many:
        check_objects(asked, solver, start, callbacks, training_set)
    recorded = as_given(asked, training_set, solver, start)
    if (finished := _finished(folder, recorded)) is not None:
        return finished
    with _announced_compilation(recorded):
        if recorded.verbose:
            announce_prediction(Console(stderr=True), recorded.network.width)
        with at_most(1):  # the same prediction on every machine
            experiment = build(asked, training_set, solver, start)
        size = (*experiment.training_set.x.shape, recorded.network.width)
        with claimed(folder), at_most(threads_for(*size)):
            if (finished := _finished(folder, recorded)) is not None:  # by another process, meanwhile
                return finished
            checkpoint = _prepare_folder(folder, recorded, files)
            named = recorded.to_dict(), recorded.loggers.wandb, recorded.loggers.mlflow
            with first_of_all(), trackers(folder, *named) as more:
                given = callbacks, [*more, *loggers]
                return _run_to_the_end(recorded, experiment, folder, checkpoint, *given, varied)


def _listed(key: str, given: Any, kind: type, allowed: str) -> list[Any]:
    """The objects in a list, of one alone too; raises InvalidInput for what is not of that kind."""
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    for one in listed:
        if not isinstance(one, kind):
            raise InvalidInput(key, one, allowed)
    return listed


def _finished(folder: Path, config: RunConfig) -> dict[str, Any] | None:
    """The summary of a run that has come to its end in the folder; None where there is something left to do.

    Raises InvalidInput for a run that is not to be resumed, or was begun under another configuration."""
    if holds_run(folder) and config.resume is None:
        raise InvalidInput("run folder", str(folder), "a folder without a run in it, or resume=auto to go on")
    summary = read_summary(folder)
    if summary is None:
        return None
    check_same_configuration(folder, summary["config"], config.to_dict())
    if goes_further(summary, config.to_dict()):
        return None
    if config.verbose:
        told = f"{folder} has ended already, at iteration {summary['iterations']:,}"
        Console().print(told, soft_wrap=True, markup=False)
    return summary


def _prepare_folder(folder: Path, config: RunConfig, files: Mapping[str, str] | None) -> dict[str, Any] | None:
    """Clears away what a killed process left half-written, and writes the configuration; returns the checkpoint to go
    on from, None at a run's beginning."""
    checkpoint = read_checkpoint(folder)
    if checkpoint is not None:
        check_same_configuration(folder, checkpoint["gfflow"]["config"], config.to_dict())
    if holds_run(folder):  # elsewhere the files are somebody else's
        for half in folder.rglob(UNFINISHED):
            half.unlink()
    further = checkpoint is not None and checkpoint["gfflow"]["config"]["solver"] != config.to_dict()["solver"]
    if files is None or (further and not files):
        files = {".hydra/config.yaml": yaml.safe_dump({**config.to_dict(), "resume": None}, sort_keys=False)}
    for name, text in files.items():
        write_text(folder / name, text)
    (folder / "summary.json").unlink(missing_ok=True)  # of a run that is to go further
    return checkpoint


def _run_to_the_end(
    config: RunConfig,
    experiment: Experiment,
    folder: Path,
    checkpoint: dict[str, Any] | None,
    callbacks: Sequence[pl.Callback],
    loggers: list[Logger],
    varied: Sequence[str],
) -> dict[str, Any]:
    """Trains, from the start or from the checkpoint, and writes everything that comes after training."""
    values, module = config.to_dict(), experiment.module
    module.configuration = values
    table = MetricsTable(folder / "metrics.csv")
    events = EventLogger(folder, label=run_label(values, varied))
    _restore(checkpoint, module, table, events)
    write_opening(events.experiment, values, config.ensemble.many)
    with quiet_lightning():
        record_configuration(loggers, values)
    if config.verbose:
        print_notes(Console(), experiment.notes)
    module.start_clock()
    with others_beside(config, experiment, folder) as others:
        if module.stop_reason is None:
            chosen = with_given(measuring_callbacks(config, experiment, folder), callbacks)
            try:
                _fit(config, module, folder, chosen, [table, events, *loggers], checkpoint)
            except Interrupted as error:
                raise error if others is None else others.interrupted(error.signal) from None
        summary = summarise(values, module, experiment.prediction, table.columns())
        ensemble = None if others is None else others.train(folder, summary, table.columns())
    if ensemble is not None:
        summary = replace(summary, ensemble=ensemble.numbers)
        log_statistics(ensemble, table, events, loggers)
    write_hyperparameters(events.experiment, summary.config, summary, varied)
    report = write_ending(config, experiment, folder, summary, table, events)
    if config.verbose:
        print_closing(Console(), summary, folder, None if ensemble is None else ensemble.members)
        if report is not None:
            print_report(report)
    if ensemble is not None:
        forget_store(folder)
    elif not module.measurable():
        raise Diverged(why_diverged(module, experiment.start))
    return summary.to_dict()


def _restore(
    checkpoint: dict[str, Any] | None, module: GradientFlowModule, table: MetricsTable, events: EventLogger
) -> None:
    """Sets module, table and events to the checkpoint's state, or to a run's beginning where there is none; raises
    InvalidInput where the checkpoint is not one of this module."""
    if checkpoint is None:
        events.restore(0, {})
        return
    try:
        module.load_state_dict(checkpoint["state_dict"])
        module.on_load_checkpoint(checkpoint)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        path = str(table.path.parent / "checkpoints" / "last.ckpt")
        raise InvalidInput("resume", path, f"a checkpoint of this run ({reason_of(error)})") from None
    done = checkpoint["gfflow"]["stop_reason"] is not None
    if done and module.stop_reason is None:  # it goes further, and is measured again where it goes on, if scheduled
        done = not module.on_schedule()
    table.restore(module.iteration + done, (step for step in module.measured if step < module.iteration))
    events.restore(module.iteration + done, table.rows)


def _fit(
    config: RunConfig,
    module: GradientFlowModule,
    folder: Path,
    callbacks: list[pl.Callback],
    loggers: list[Logger],
    checkpoint: dict[str, Any] | None,
) -> None:
    """Trains the module with Lightning, from the checkpoint on where there is one; raises Interrupted where a signal
    came before the end."""
    epochs = 1  # one each time that a run which had ended goes further
    if checkpoint is not None:
        epochs += int(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["completed"])
    interruption = cb.Interruption(module)
    with quiet_lightning(), interruption:  # what holds while training runs, and no longer
        trainer = pl.Trainer(
            accelerator=config.trainer.accelerator,
            devices=1,
            max_epochs=epochs,
            logger=loggers,
            callbacks=[interruption, *callbacks],
            plugins=[cb.WholeCheckpointIO(), OneProcess()],
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        path = folder / "checkpoints" / "last.ckpt"
        if config.verbose:
            warnings.showwarning = _as_note  # elsewhere a measure's warning shows a file and a line
        try:
            trainer.fit(module, ckpt_path=None if checkpoint is None else path, weights_only=True)
        except SystemExit:
            if module.signal is None:
                raise
            raise KeyboardInterrupt from None  # a second signal, which Lightning makes an exit of its own of
    if module.signal is not None:  # it came after the last leap: all is saved, the rest can wait
        raise Interrupted(module.signal, module.iteration)


def _as_note(message: Warning | str, *_: Any, **__: Any) -> None:
    print_notes(Console(), (str(message),))


def _announced_compilation(config: RunConfig) -> AbstractContextManager[None]:
    compiles = config.verbose and config.solver.chosen().compiles
    return announce_compilation(Console(stderr=True)) if compiles else nullcontext()


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Within it, Lightning's notes on hardware and data loaders, which say nothing of use here, are not shown;
    warnings and log levels are afterwards what they were."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
