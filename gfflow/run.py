"""One run: predict, train, measure, summarise."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from rich.console import Console

from gfflow import callbacks as cb
from gfflow.callbacks.trajectory import frame_count
from gfflow.config import RunConfig
from gfflow.dashboard import write_closing, write_figure, write_image, write_opening
from gfflow.data import TrainingSet
from gfflow.errors import Diverged, InvalidInput
from gfflow.initialization import check_alive, draw_start, initialization_scale
from gfflow.loggers import EventLogger, MetricsTable
from gfflow.module import GradientFlowModule
from gfflow.network import TwoLayerReLU
from gfflow.neurons import Neurons
from gfflow.records import Run
from gfflow.schedule import Schedule
from gfflow.solvers import make_solver
from gfflow.statements.report import Report, as_markdown, print_report, verify, write
from gfflow.summary import summarise, write_summary
from gfflow.terminal import print_closing
from gfflow.theory import Prediction, milestone_iterations, predict

HISTOGRAMS = 24  # how many times the neurons' histograms are written


@dataclass(frozen=True)
class Experiment:
    """What a configuration stands for, before a single step: data, start, prediction and the module."""

    training_set: TrainingSet
    start: Neurons
    prediction: Prediction
    module: GradientFlowModule
    lemma_times: frozenset[int]  # the iterations at which the paper's lemmas speak
    notes: tuple[str, ...]


def build(config: RunConfig) -> Experiment:
    """Makes everything that a run needs, and writes nothing. Raises InvalidInput for what cannot be used."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        training_set = config.data.make()
    if config.verify and not config.callbacks.trajectory:
        raise InvalidInput("verify", True, "false, or callbacks.trajectory=true: it reads the recorded frames")
    width = config.network.width
    scale = initialization_scale(config.init.scale, config.init.normalization, width, training_set.d)
    start = draw_start(width, training_set.d, scale, config.seed, config.init.balanced)
    check_alive(start, training_set)
    dtype = getattr(torch, config.precision)
    notes = [str(warning.message) for warning in caught]
    if dtype == torch.float32 and scale**2 < torch.finfo(dtype).tiny:
        notes.append(f"precision float32 cannot hold the squares of weights of size {scale:.1e}; take float64")
    prediction = predict(training_set, start, scale)
    cuda = config.trainer.accelerator in ("gpu", "cuda") or (
        config.trainer.accelerator == "auto" and torch.cuda.is_available()
    )
    if cuda and not torch.cuda.is_available():
        raise InvalidInput("trainer.accelerator", config.trainer.accelerator, "cpu: no CUDA device was found")
    options = config.solver
    solver = make_solver(
        options.name,
        options.lr,
        batch_size=options.batch_size,
        rtol=options.rtol,
        method=options.method,
        seed=config.seed,
        relu_derivative_at_zero=config.network.relu_derivative_at_zero,
        cuda=cuda,
    )
    times = (t for t in prediction.events.values() if t is not None)
    lemma_times = milestone_iterations(prediction, options.lr, descent=solver.name != "flow")
    schedule = Schedule.of(
        options.iterations,
        config.schedule.ratio,
        config.schedule.linear,
        extra={*(round(t / options.lr) for t in times), *lemma_times},
    )
    network = TwoLayerReLU(start, dtype, config.network.relu_derivative_at_zero)
    module = GradientFlowModule(network, training_set, solver, schedule, options.stop_loss)
    notes += prediction.assumptions.notes
    return Experiment(training_set, start, prediction, module, frozenset(lemma_times), tuple(notes))


def measuring_callbacks(config: RunConfig, experiment: Experiment, folder: Path) -> list[pl.Callback]:
    """The callbacks that the configuration asks for, in the order in which they log."""
    prediction, schedule = experiment.prediction, experiment.module.schedule
    m, d = experiment.start.w.shape
    frames = schedule.thinned(frame_count(m, d, config.schedule.frames), experiment.lemma_times)
    asked = config.callbacks
    chosen: list[pl.Callback] = [cb.Loss()]
    chosen += [cb.GradientNorm()] if asked.gradient else []
    chosen += [cb.AlignmentCosines(prediction)] if asked.alignment else []
    chosen += [cb.GroupMasses(prediction)] if asked.masses else []
    chosen += [cb.SaddleDistance(prediction)] if asked.saddle else []
    chosen += [cb.LimitDistance(prediction)] if asked.limit else []
    chosen += [cb.Invariants()] if asked.invariants else []
    chosen += [cb.Histograms(schedule.thinned(HISTOGRAMS))] if asked.histograms else []
    chosen += [cb.TrajectoryRecorder(folder / "trajectory.npz", frames)] if asked.trajectory else []
    chosen += [cb.PhaseProgress(prediction)] if asked.progress and config.verbose else []
    chosen += [cb.LastCheckpoint(folder / "checkpoints" / "last.ckpt")] if asked.checkpoint else []
    return chosen


def train(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Runs the configuration and leaves everything in the folder; returns the summary.

    Raises InvalidInput before anything is written, and Diverged, after everything is written, where the
    weights left the finite numbers.
    """
    experiment = build(config)
    folder.mkdir(parents=True, exist_ok=True)
    table, events = MetricsTable(folder / "metrics.csv"), EventLogger(folder)
    module = experiment.module
    _quiet_lightning()
    trainer = pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        max_epochs=1,
        logger=[table, events],
        callbacks=measuring_callbacks(config, experiment, folder),
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    values = config.to_dict()
    write_opening(events.experiment, values)
    began = time.perf_counter()
    trainer.fit(module)
    seconds = time.perf_counter() - began
    summary = summarise(config.name, config.seed, module, experiment.prediction, table.columns(), seconds)
    write_closing(events.experiment, values, summary, experiment.notes)
    run = Run(folder, values, table.columns(), summary)
    if config.figures:
        _draw(run, events)
    report = _verify(run, events) if config.verify else None
    events.close()
    write_summary(folder / "summary.json", summary)
    if config.verbose:
        print_closing(Console(), summary, experiment.notes, folder)
        if report is not None:
            print_report(report)
    if summary["stop_reason"] == "diverged":
        raise Diverged(
            f"training diverged between iterations {summary['iterations']} and {module.iteration}: "
            f"solver.lr = {config.solver.lr} is likely too large for this data"
        )
    return summary


def _draw(run: Run, events: EventLogger) -> None:
    """The run's main figures, as files and as images in TensorBoard."""
    from gfflow.figures import draw_main, telling_states  # matplotlib is imported only when it is needed

    for path in draw_main(run):
        if path.suffix == ".png":
            write_image(events.experiment, path.stem, path.read_bytes(), int(run.metrics["step"][-1]))
    for step, figure in telling_states(run):
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
