"""One run: predict, train, measure, summarise."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import yaml
from lightning.pytorch.loggers.logger import Logger
from rich.console import Console

from gfflow import callbacks as cb
from gfflow.callbacks.trajectory import frame_count
from gfflow.cautions import cautions, check_numbers, why_diverged
from gfflow.config import RunConfig
from gfflow.errors import Diverged, Interrupted, InvalidInput
from gfflow.model.data import TrainingSet
from gfflow.model.data_sets import Given
from gfflow.model.initialization import check_alive, initialization_scale
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.records.dashboard import write_closing, write_figure, write_image, write_opening
from gfflow.records.folder import (
    check_same_configuration,
    claimed,
    holds_run,
    read_checkpoint,
    read_summary,
    reason_of,
)
from gfflow.records.loggers import EventLogger, MetricsTable
from gfflow.records.run import Run
from gfflow.records.summary import summarise, write_summary
from gfflow.scalars import MEASURES, Setting
from gfflow.statements.verdicts import Report, as_markdown, print_report, verify, write
from gfflow.terminal import compilation_told, print_closing, print_notes
from gfflow.theory import Prediction, milestone_iterations, predict
from gfflow.threads import at_most, threads_for
from gfflow.training.module import GradientFlowModule
from gfflow.training.schedule import FEW, Schedule


@dataclass(frozen=True)
class Experiment:
    """What a configuration stands for, before a single step: data, start, prediction and the module."""

    training_set: TrainingSet
    start: Neurons
    prediction: Prediction
    module: GradientFlowModule
    lemma_times: frozenset[int]  # the iterations at which the paper's lemmas speak
    notes: tuple[str, ...]


def build(config: RunConfig, training_set: TrainingSet | None = None) -> Experiment:
    """Makes everything that a run needs, and writes nothing; on the training set of the configuration, or the given
    one. Raises InvalidInput for what cannot be used."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        training_set = config.make_data() if training_set is None else training_set
    width = config.network.width
    scale = initialization_scale(config.init.scale, config.init.normalization, width, training_set.d)
    start = config.init.draw(width, training_set.d, scale, config.seed)
    start = replace(start, activation=config.network.make_activation())
    check_alive(start, training_set)
    check_numbers(config, training_set, start)
    dtype = getattr(torch, config.precision)
    notes = [str(warning.message) for warning in caught]
    prediction = predict(training_set, start, scale)
    if config.callbacks.minimum_norm and prediction.min_half_norm is None:
        prediction = _with_minimum(prediction, training_set, notes)
    notes += cautions(config, training_set, start, prediction)
    cuda = config.trainer.accelerator in ("gpu", "cuda") or (
        config.trainer.accelerator == "auto" and torch.cuda.is_available()
    )
    if cuda and not torch.cuda.is_available():
        raise InvalidInput("trainer.accelerator", config.trainer.accelerator, "cpu: no CUDA device was found")
    options = config.solver
    solver = options.make(seed=config.seed, activation=start.activation, cuda=cuda)
    times = (t for t in prediction.events.values() if t is not None)
    lemma_times = milestone_iterations(prediction, options.lr, descent=solver.is_descent)
    schedule = Schedule.of(
        options.iterations,
        config.schedule.ratio,
        config.schedule.linear,
        extra={*(round(t / options.lr) for t in times), *lemma_times},
    )
    network = TwoLayerReLU(start, dtype)
    module = GradientFlowModule(network, training_set, solver, schedule, options.stop_loss)
    notes += prediction.assumptions.notes
    return Experiment(training_set, start, prediction, module, frozenset(lemma_times), tuple(notes))


def _with_minimum(prediction: Prediction, training_set: TrainingSet, notes: list[str]) -> Prediction:
    """The prediction with the minimum norm of data that is not orthogonal, where all patterns can be listed."""
    from gfflow.theory.minimum_norm import minimum_norm  # an extra, slow to import

    found = minimum_norm(training_set)
    if found.exact:
        return replace(prediction, min_half_norm=found.upper)
    notes.append(f"the minimum norm is at most {found.upper:.6g}: too many activation patterns to list them all")
    return prediction


def measuring_callbacks(config: RunConfig, experiment: Experiment, folder: Path) -> list[pl.Callback]:
    """The callbacks that the configuration asks for, in the order in which they log."""
    prediction, schedule = experiment.prediction, experiment.module.schedule
    m, d = experiment.start.w.shape
    frames = schedule.thinned(frame_count(m, d, config.schedule.frames), experiment.lemma_times)
    few = schedule.thinned(FEW)
    asked = config.callbacks
    setting = Setting(prediction, experiment.module.solver, config.solver.rtol)
    chosen: list[pl.Callback] = []
    for entry in MEASURES.values():
        on = entry.switch is None or getattr(asked, entry.switch)
        source = entry.make(setting) if on else None
        if source is not None:
            chosen.append(cb.Measured(source, few=entry.few))
    chosen += [cb.Histograms(few)] if asked.histograms else []
    chosen += [cb.TrajectoryRecorder(folder / "trajectory.npz", frames)] if asked.trajectory else []
    chosen += [cb.PhaseProgress(prediction)] if asked.progress and config.verbose else []
    if asked.checkpoint:
        chosen += [cb.LastCheckpoint(folder / "checkpoints" / "last.ckpt", asked.checkpoint_seconds)]
    return chosen


def train(
    config: RunConfig,
    folder: str | Path,
    training_set: TrainingSet | None = None,
    files: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Runs the configuration, on its own training set or the given one, and leaves everything in the folder; returns
    the summary (read the rest back with Run.read).

    `files` are written into the folder first, by relative path (None: the configuration, as Hydra would). A folder
    that holds a run already is refused, unless config.resume is 'auto': the run there then goes on from its last
    checkpoint, exactly as if it had never been interrupted, or is left alone if it has come to its end.

    Raises InvalidInput before anything is written, Interrupted where a signal stopped the run (SIGINT, SIGTERM), and
    Diverged, after everything is written, where the weights left the finite numbers.
    """
    compiles = config.verbose and config.solver.chosen().compiles
    with compilation_told(Console(stderr=True)) if compiles else nullcontext():
        return _train_in(Path(folder), config, training_set, files)


def _train_in(
    folder: Path, config: RunConfig, training_set: TrainingSet | None, files: Mapping[str, str] | None
) -> dict[str, Any]:
    with at_most(1):  # the same prediction on every machine
        experiment = build(config, training_set)
    size = (*experiment.training_set.x.shape, config.network.width)
    if training_set is not None:
        config = replace(config, data=Given(training_set.digest))
    with claimed(folder), at_most(threads_for(*size)):
        if holds_run(folder) and config.resume is None:
            raise InvalidInput("run folder", str(folder), "a folder without a run in it, or resume=auto to go on")
        finished = read_summary(folder)
        if finished is not None:
            check_same_configuration(folder, finished["config"], config.to_dict())
            if config.verbose:
                Console().print(
                    f"{folder} has ended already, at iteration {finished['iterations']:,}", soft_wrap=True
                )
            return finished
        checkpoint = read_checkpoint(folder)
        for half in folder.rglob("*.part*"):  # of a file that a killed process was writing
            half.unlink()
        if checkpoint is not None:
            check_same_configuration(folder, checkpoint["gfflow"]["config"], config.to_dict())
        if files is None:
            files = {".hydra/config.yaml": yaml.safe_dump(config.to_dict(), sort_keys=False)}
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        return _train(config, experiment, folder, checkpoint)


def _train(
    config: RunConfig, experiment: Experiment, folder: Path, checkpoint: dict[str, Any] | None
) -> dict[str, Any]:
    values, module = config.to_dict(), experiment.module
    module.configuration = values
    table, events = MetricsTable(folder / "metrics.csv"), EventLogger(folder)
    if checkpoint is not None:
        _restore(module, checkpoint, folder)
        done = module.stop_reason is not None
        table.restore(module.iteration + done, (step for step in module.schedule if step < module.iteration))
        events.restore(module.iteration + done, table.rows)
    else:
        events.restore(0, {})
    write_opening(events.experiment, values)
    if config.verbose:
        print_notes(Console(), experiment.notes)
    began = time.perf_counter()
    if module.stop_reason is None:
        _fit(config, experiment, folder, [table, events], resumed=checkpoint is not None)
    seconds = time.perf_counter() - began
    summary = summarise(config.name, config.seed, module, experiment.prediction, table.columns(), seconds)
    summary["config"] = values
    write_closing(events.experiment, values, summary, experiment.notes)
    run = Run(folder, values, table.columns(), summary)
    if config.figures:
        _draw(run, events)
    report = _verify(run, events) if config.verify else None
    events.close()
    write_summary(folder / "summary.json", summary)
    if config.verbose:
        print_closing(Console(), summary, folder)
        if report is not None:
            print_report(report)
    if summary["stop_reason"] == "diverged":
        raise Diverged(why_diverged(module, experiment.start))
    return summary


def _restore(module: GradientFlowModule, checkpoint: dict[str, Any], folder: Path) -> None:
    """Sets the module to the checkpoint's state; raises InvalidInput where that is not one of this module."""
    try:
        module.load_state_dict(checkpoint["state_dict"])
        module.on_load_checkpoint(checkpoint)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        path = str(folder / "checkpoints" / "last.ckpt")
        raise InvalidInput("resume", path, f"a checkpoint of this run ({reason_of(error)})") from None


def _fit(config: RunConfig, experiment: Experiment, folder: Path, loggers: list[Logger], resumed: bool) -> None:
    _quiet_lightning()
    interruption = cb.Interruption(experiment.module)
    trainer = pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        max_epochs=1,
        logger=loggers,
        callbacks=[interruption, *measuring_callbacks(config, experiment, folder)],
        plugins=[cb.WholeCheckpointIO()],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    path = folder / "checkpoints" / "last.ckpt"
    with interruption:
        trainer.fit(experiment.module, ckpt_path=path if resumed else None, weights_only=True)
    if experiment.module.signal is not None:  # it came after the last leap: all is saved, the rest can wait
        raise Interrupted(experiment.module.signal, experiment.module.iteration)


def _draw(run: Run, events: EventLogger) -> None:
    """The run's main figures, as files and as images in TensorBoard."""
    from gfflow.figures import draw_main, states_of_training  # matplotlib is imported only when it is needed

    for path in draw_main(run):
        if path.suffix == ".png":
            write_image(events.experiment, path.stem, path.read_bytes(), int(run.metrics["step"][-1]))
    for step, figure in states_of_training(run):
        write_figure(events.experiment, "state of training", figure, step)


def _verify(run: Run, events: EventLogger) -> Report:
    """Every statement of the paper judged on the run, into verification.json and TensorBoard."""
    report = verify(run)
    write(report, run.folder)
    events.experiment.add_text("verification", as_markdown(report), int(run.metrics["step"][-1]))
    return report


def _quiet_lightning() -> None:
    """Lightning's notes on hardware and data loaders say nothing of use here."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
