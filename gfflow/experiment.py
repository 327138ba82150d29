"""From a configuration to everything that a run needs, before a single step."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from gfflow import callbacks as cb
from gfflow.callbacks.trajectory import frame_count
from gfflow.cautions import beyond_the_paper, cautions, check_numbers, conserved_signs
from gfflow.config import RunConfig
from gfflow.errors import InvalidInput
from gfflow.model.data import Samples, TrainingSet, ZeroLabel, as_training_set
from gfflow.model.data_sets import Given
from gfflow.model.initialization import check_alive, initialization_scale
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons, Start, as_neurons
from gfflow.model.options import LOSSES
from gfflow.model.starts import Given as GivenStart
from gfflow.records.trackers import check_installed
from gfflow.scalars import MEASURES, Measure, Setting
from gfflow.solvers import Solver
from gfflow.solvers.options import all_classes, given
from gfflow.theory import Prediction, make_forecast, milestone_iterations, predict, with_forecast
from gfflow.theory.prediction import CLOSED_FORM
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


def build(
    config: RunConfig | Mapping[str, Any],
    training_set: Samples | None = None,
    solver: Solver | None = None,
    start: Start | None = None,
) -> Experiment:
    """Makes everything that a run needs, and writes nothing: on the training set of the configuration or the given
    one, from its start or the given weights, whose width then counts, with its solver or the given one, whose step
    size then counts.

    The configuration may be nested plain values, as for RunConfig.of; the training set may be a pair (x, y), the
    start a pair (w, a). Raises InvalidInput for what cannot be used.
    """
    given_start = None if start is None else as_neurons(start)
    config = as_given(typed(config), training_set, solver, given_start)
    _check_installed(config)
    data, notes = _training_set(config, training_set)
    made = assemble(config, data, solver, given_start)
    notes += [*made.notes, *beyond_the_paper(data, made.start)]
    notes += [*cautions(config, data, made.start, made.prediction), *made.prediction.assumptions.notes]
    notes += conserved_signs(made.start) if made.start.frozen is None else []
    return replace(made, notes=tuple(notes))


def assemble(
    config: RunConfig, data: TrainingSet, solver: Solver | None = None, given_start: Neurons | None = None
) -> Experiment:
    """`build` on a training set that is there already, without what is known to spoil a run; raises InvalidInput for
    a start that cannot be used."""
    notes: list[str] = []
    start, scale = _start(config, data, given_start)
    check_numbers(config, data, start)
    prediction = _prediction(config, data, start, scale, notes)
    prediction = _forecast(config, data, start, prediction, solver, notes)
    if solver is None:
        solver = config.solver.make(
            seed=config.seed, activation=start.activation, loss=data.loss, cuda=uses_cuda(config)
        )
    lemma_times = milestone_iterations(prediction, solver.lr, descent=solver.is_descent)
    network = TwoLayerReLU(start, getattr(torch, config.precision))
    schedule = _schedule(config, prediction, lemma_times)
    module = GradientFlowModule(network, data, solver, schedule, config.solver.stop_loss)
    return Experiment(data, start, prediction, module, frozenset(lemma_times), tuple(notes))


def typed(config: RunConfig | Mapping[str, Any]) -> RunConfig:
    """The configuration, checked where it comes as plain values."""
    return config if isinstance(config, RunConfig) else RunConfig.of(config)


def as_given(
    config: RunConfig, training_set: Samples | None, solver: Solver | None, start: Start | None = None
) -> RunConfig:
    """The configuration that a run on given objects is recorded under: of a training set and of a start their
    digests, of a solver its name and step size (what else it depends on only its owner knows)."""
    if start is not None:
        weights = as_neurons(start)
        network = replace(config.network, width=len(weights.a))
        config = replace(config, network=network, init=GivenStart(sha256=weights.digest))
    if training_set is not None:
        samples, _ = _training_set(config, training_set)
        loss = samples.loss.name if samples.loss.name in LOSSES else config.loss
        config = replace(config, data=Given(samples.digest), loss=loss)
    if solver is not None:
        if not isinstance(solver, Solver):
            allowed = "a gfflow.solvers.Solver (by name: in the configuration, solver.name)"
            raise InvalidInput("solver", solver, allowed)
        config = replace(config, solver=given(solver, config.solver))
    return config


def _check_installed(config: RunConfig) -> None:
    """Raises InvalidInput for what this machine lacks: the package of a logger, a CUDA device."""
    check_installed(config.loggers.wandb, config.loggers.mlflow)
    if uses_cuda(config) and not torch.cuda.is_available():
        raise InvalidInput("trainer.accelerator", config.trainer.accelerator, "cpu: no CUDA device was found")


def _check_memory(width: int, training_set: TrainingSet) -> None:
    """Raises InvalidInput for a width of which this machine could not even hold what every run needs: the outputs of
    the neurons once, and their weights some times over."""
    if not hasattr(os, "sysconf"):
        return  # Windows does not tell
    neuron = 8 * (training_set.n + 16 * (training_set.d + 1))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if width * neuron > memory:
        most = f"less than {memory // neuron:,}, with the memory of this machine ({memory / 2**30:.0f} GiB)"
        raise InvalidInput("network.width", f"{width:,}", most)


def _training_set(config: RunConfig, given: Samples | None) -> tuple[TrainingSet, list[str]]:
    """The training set, and what it warned of while it was made. A given one is fitted by its own loss, or, where
    that is the square, by the configuration's."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        made = config.make_data() if given is None else as_training_set(given)
        if made.loss.is_square and config.loss != made.loss.name:
            made = replace(made, loss=LOSSES[config.loss]().make())
    # a run's notes say of Assumption 2 what is to be said
    return made, [str(warning.message) for warning in caught if warning.category is not ZeroLabel]


def _start(config: RunConfig, training_set: TrainingSet, given: Neurons | None) -> tuple[Neurons, float]:
    """The weights at the start, and their lambda."""
    width, d = config.network.width, training_set.d
    if given is None:
        _check_memory(width, training_set)
        scale = initialization_scale(config.init.scale, config.init.normalization, width, d)
        drawn = config.init.draw(width, d, scale, config.seed)
    else:
        drawn = given
    if drawn.w.shape[1] != d:
        raise InvalidInput("start", f"weights of {drawn.w.shape[1]} inputs", f"weights of {d}, as the data has")
    start = replace(drawn, activation=config.network.make_activation(), frozen=config.network.frozen)
    check_alive(start, training_set)
    return start, config.init.size(start)


def _prediction(
    config: RunConfig, training_set: TrainingSet, start: Neurons, scale: float, notes: list[str]
) -> Prediction:
    """What the theory says; with callbacks.minimum_norm also the minimum norm of data that is not orthogonal, where
    all patterns can be listed (else a note is added)."""
    prediction = predict(training_set, start, scale)
    if not config.callbacks.minimum_norm or prediction.min_half_norm is not None:
        return prediction
    from gfflow.theory.minimum_norm import minimum_norm  # an extra, slow to import

    if training_set.loss.code is None:
        notes.append("the minimum norm is not computed: it is that of the losses of this library")
        return prediction
    found = minimum_norm(training_set, start.activation.slope)
    if found.exact:
        return replace(prediction, min_half_norm=found.upper, least_norm=found.neurons)
    notes.append(f"the minimum norm is at most {found.upper:.6g}: too many activation patterns to list them all")
    return prediction


def _forecast(
    config: RunConfig,
    training_set: TrainingSet,
    start: Neurons,
    prediction: Prediction,
    solver: Solver | None,
    notes: list[str],
) -> Prediction:
    """The prediction with the forecast, where it is wanted; a note says why there is none."""
    if config.forecast is False or (config.forecast == "auto" and prediction.source == CLOSED_FORM):
        return prediction
    if config.solver.batch_size is not None:
        notes.append("no forecast: it knows steps on all samples, no mini-batches")
        return prediction
    if solver is not None and not isinstance(solver, tuple(all_classes())):
        notes.append("no forecast: what a solver of your own does is not known")
        return prediction
    chosen = config.solver.chosen(activation=start.activation, loss=training_set.loss)
    moves = chosen if solver is None else type(solver)
    lr = config.solver.lr
    found = make_forecast(training_set, start, lr * config.solver.iterations, lr if moves.is_descent else 0.0)
    if found.note is not None:
        notes.append(found.note)
    return with_forecast(prediction, found)


def uses_cuda(config: RunConfig) -> bool:
    """Whether the network trains on a CUDA device."""
    asked = config.trainer.accelerator
    return asked in ("gpu", "cuda") or (asked == "auto" and torch.cuda.is_available())


def _schedule(config: RunConfig, prediction: Prediction, lemma_times: Sequence[int] | set[int]) -> Schedule:
    """The configured one, with the predicted events and the lemmas' times among its iterations."""
    lr = config.solver.lr
    events = (round(time / lr) for time in prediction.events.values() if time is not None)
    return base_schedule(config, {*events, *lemma_times})


def base_schedule(config: RunConfig, extra: Iterable[int] = ()) -> Schedule:
    """The configured one, the same for every start, with `extra` iterations."""
    return Schedule.of(config.solver.iterations, config.schedule.ratio, config.schedule.linear, extra=extra)


def frames_of(config: RunConfig, experiment: Experiment) -> Schedule:
    """The iterations at which all weights are kept."""
    m, d = experiment.start.w.shape
    count = frame_count(m, d, config.schedule.frames)
    return experiment.module.schedule.thinned(count, experiment.lemma_times)


def measures_of(config: RunConfig, experiment: Experiment) -> list[tuple[Measure, bool]]:
    """The measures that the configuration asks for, in the order in which they log, and whether each is taken at a
    few iterations only."""
    setting = Setting(experiment.prediction, experiment.module.solver, config.solver.rtol, experiment.training_set)
    asked = [entry for entry in MEASURES.values() if entry.switch is None or getattr(config.callbacks, entry.switch)]
    made = [(entry.make(setting), entry.few) for entry in asked]
    return [(source, few) for source, few in made if source is not None]


def measuring_callbacks(config: RunConfig, experiment: Experiment, folder: Path) -> list[pl.Callback]:
    """The callbacks that the configuration asks for, in the order in which they log."""
    asked = config.callbacks
    chosen: list[pl.Callback] = [cb.Measured(source, few=few) for source, few in measures_of(config, experiment)]
    chosen += [cb.Histograms(experiment.module.schedule.thinned(FEW))] if asked.histograms else []
    frames = frames_of(config, experiment)
    chosen += [cb.TrajectoryRecorder(folder / "trajectory.npz", frames)] if asked.trajectory else []
    chosen += [cb.PhaseProgress(experiment.prediction)] if asked.progress and config.verbose else []
    if asked.checkpoint:
        chosen += [cb.LastCheckpoint(folder / "checkpoints" / "last.ckpt", asked.checkpoint_seconds)]
    return chosen


def with_given(configured: Sequence[pl.Callback], given: Sequence[pl.Callback]) -> list[pl.Callback]:
    """The configured callbacks and the given ones: one of the same class, or of the same measure, takes the place of
    the configured one; the others come after all but the checkpoint's, which must see the states of all others."""
    by_kind = {callback.state_key: callback for callback in given}  # Lightning's name of a kind
    chosen = [by_kind.pop(callback.state_key, callback) for callback in configured]
    placed = {id(callback) for callback in chosen}
    more = [callback for callback in given if id(callback) not in placed]
    last = [callback for callback in chosen if isinstance(callback, cb.LastCheckpoint)]
    return [*(callback for callback in chosen if callback not in last), *more, *last]
