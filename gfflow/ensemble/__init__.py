"""A thousand starts in one run.

The first member is an ordinary run, in the ordinary way, and everything in the folder that is of one network is its
own. The others are trained beside it by the same pieces (start, prediction, solver, measures, summary), but for
Lightning's trainer, which costs more than their training. What makes a member cheap is that its measurements are
not taken one by one: the weights at many scheduled iterations are kept, and the measures then see all of them at
once as `Frames`, with a leading axis of iterations. Members have predictions, groups and schedules of their own, so
that an axis of members would be ragged; an axis of one member's iterations is not. Every operation on frames gives
the bits that it gives on one frame (model/products.py), so that a member equals its own single run bit for bit.

Members are spread over forked processes, some at a time, which begin before the first is trained. The parent puts
what comes back on the disk (records/member_store.py), from where a resumed run goes on: a member is trained whole or
not at all. At the end follow the statistics over the members, at the iterations that all of them are measured at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from gfflow import callbacks as cb
from gfflow.config import RunConfig
from gfflow.ensemble.member import finished, train_member
from gfflow.ensemble.together import batches, can_train_together, train_together
from gfflow.ensemble.workers import Workers, at_work, portions, processes_for
from gfflow.errors import Interrupted, InvalidInput
from gfflow.experiment import Experiment, base_schedule
from gfflow.model.network import TwoLayerReLU
from gfflow.records.ensemble import SAME, Kept, Member, numbers_over, statistics, write_members
from gfflow.records.files import whole_file
from gfflow.records.folder import NOT_PART_OF_A_RUN, of_identity
from gfflow.records.measured_events import Table
from gfflow.records.member_store import MemberStore
from gfflow.records.members import TABLE, Members
from gfflow.records.summary import Summary
from gfflow.theory.probability import empty_cone_probabilities
from gfflow.threads import threads_for

STORE = Path("checkpoints") / "members"


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What an ensemble that has ended has to say."""

    members: Members
    curves: dict[int, dict[str, float]]  # iteration -> X/mean, X/p05, ... of every scalar X
    numbers: dict[str, Any]  # of summary.json


def check_objects(config: RunConfig, solver: Any, start: Any, callbacks: Sequence[Any], training_set: Any) -> None:
    """Raises InvalidInput for objects that the members of an ensemble cannot share."""
    given = {"solver": solver, "start": start, "callbacks": callbacks or None}
    for name, value in given.items():
        if value is not None:
            allowed = f"no {name} of your own with ensemble.size above 1: each member needs one for itself"
            raise InvalidInput(name, type(value).__name__, allowed)
    if training_set is not None and config.ensemble.data == "redrawn":
        raise InvalidInput("ensemble.data", "redrawn", "same, for a training set given from Python")


class Others:
    """The members beside the first."""

    def __init__(
        self, config: RunConfig, experiment: Experiment, store: MemberStore, left: list[int], workers: Workers | None
    ) -> None:
        """`left` are the indices of those that are to be trained: by the workers, or without them in this process."""
        self.config, self.experiment, self.store = config, experiment, store
        self.left, self.workers = left, workers

    def train(self, folder: Path, summary: Summary, table: Table) -> Ensemble:
        """Trains what is left, and writes ensemble.csv and the frames that are kept; summary and measurements (table)
        are those of the first member. Raises Interrupted where a signal came, with all that have ended on the
        disk."""
        config, module, store = self.config, self.experiment.module, self.store
        if 0 not in store.done:
            store.add([0], [finished(config, self.experiment, summary, table)])
        with cb.Interruption(module):
            if config.figures and self.workers is not None:
                import gfflow.figures  # noqa: F401  which takes long, while others are at work
            for portion, members in _shown(config, len(self.left), self._trained()):
                store.add(portion, members)
            if module.signal is not None:
                raise self.interrupted(module.signal)
        members = store.members()
        write_members(folder / TABLE, members)
        if config.callbacks.trajectory:
            _write_kept(folder / "trajectory.npz", {members[index].seed: kept for index, kept in store.kept()})
        numbers = {"size": len(members), **_failures(config, self.experiment, members), **numbers_over(members)}
        return Ensemble(Members.read(folder), _curves(config, store, summary.iterations), numbers)

    def interrupted(self, signal: int) -> Interrupted:
        """What is raised where a signal has come, while the first member was trained or one of the others."""
        module = self.experiment.module
        first = 0 in self.store.done or module.stop_reason is not None
        ended = len(self.store.done - {0}) + first
        return Interrupted(signal, module.iteration, f"{ended} of {self.config.ensemble.size} members")

    def _trained(self) -> Iterator[tuple[list[int], list[Member]]]:
        """The members that are left, some at a time, until a signal comes."""
        module = self.experiment.module
        if self.workers is not None:
            yield from self.workers.trained(lambda: module.signal is not None)
            return
        if can_train_together(self.config, module.solver):
            yield from self._by_batches()
            return
        for portion in portions(self.left, 1):
            members: list[Member] = []
            for index in portion:
                if module.signal is not None:
                    break
                try:
                    members.append(train_member(self.config, index, self.experiment.training_set, cb.Interruption))
                except Interrupted as error:
                    module.signal = error.signal
            if members:
                yield portion[: len(members)], members
            if module.signal is not None:
                return

    def _by_batches(self) -> Iterator[tuple[list[int], list[Member]]]:
        module, data = self.experiment.module, self.experiment.training_set
        for portion in batches(self.config, self.left, data.d):
            members = train_together(self.config, portion, data, lambda: module.signal is not None)
            if members:
                yield portion[: len(members)], members
            if module.signal is not None:
                return


@contextmanager
def others_beside(config: RunConfig, experiment: Experiment, folder: Path) -> Iterator[Others | None]:
    """The other members of an ensemble, whose training goes on within the block, where processes can be forked for
    it; those that the folder has already are not trained again. None for a single run."""
    if not config.ensemble.many:
        yield None
        return
    data = experiment.training_set
    store = MemberStore(folder / STORE, _identity(config), config.ensemble.size)
    left = [index for index in range(1, config.ensemble.size) if index not in store.done]
    processes = processes_for(config, threads_for(data.n, data.d, config.network.width))
    if processes == 1 or not left:
        yield Others(config, experiment, store, left, None)
        return
    _compile(config, experiment)
    with at_work(config, data, left, processes) as workers:
        yield Others(config, experiment, store, left, workers)


def forget_store(folder: Path) -> None:
    """Takes away what the members were kept in, once everything else is written."""
    MemberStore(folder / STORE, "", 0).remove()


def _identity(config: RunConfig) -> str:
    values = {key: value for key, value in config.to_dict().items() if key not in NOT_PART_OF_A_RUN}
    values["ensemble"] = of_identity(values["ensemble"])  # of the solver all counts: where it goes further, all anew
    return json.dumps(values, sort_keys=True)


def _compile(config: RunConfig, experiment: Experiment) -> None:
    """Compiles what training runs, once and not in every process: by a step of a network of its own."""
    network = TwoLayerReLU(experiment.start, getattr(torch, config.precision))
    activation, loss = experiment.start.activation, experiment.training_set.loss
    solver = config.solver.make(seed=config.seed, activation=activation, loss=loss, cuda=False)
    if solver.compiles:
        solver.advance(network, experiment.training_set, 0, 1)


def _shown(
    config: RunConfig, left: int, trained: Iterator[tuple[list[int], list[Member]]]
) -> Iterator[tuple[list[int], list[Member]]]:
    """The same, with a bar on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not (config.verbose and console.is_terminal)) as bar:
        task = bar.add_task("members", total=left)
        for portion, members in trained:
            yield portion, members
            bar.advance(task, len(portion))


def _write_kept(path: Path, others: Mapping[int, Kept]) -> None:
    """Adds frames to trajectory.npz, which has those of the first member: under step_SEED, w_SEED, a_SEED, and x_SEED
    and y_SEED, by the seeds of the other members."""
    if not path.exists() or not others:
        return
    with np.load(path) as file:
        arrays = {key: file[key] for key in ("step", "w", "a", "x", "y")}
    for seed, kept in others.items():
        arrays |= {f"{key}_{seed}": values for key, values in vars(kept).items()}
    with whole_file(path) as temporary:
        np.savez(temporary, **arrays)


def _failures(config: RunConfig, experiment: Experiment, members: list[Member]) -> dict[str, Any]:
    """How many members have failed, with their seeds, and how many starts have no neuron in S+ or in S-, beside the
    exact probability of that (null where the inputs are not orthogonal or the start is of another kind)."""
    failed = [member.seed for member in members if member.failure]
    found: dict[str, Any] = {"failed": {"count": len(failed), "seeds": failed}}
    sizes = [(member.row["theory.n_plus"], member.row["theory.n_minus"]) for member in members if member.row]
    counts = {
        "plus": sum(not plus for plus, _ in sizes),
        "minus": sum(not minus for _, minus in sizes),
        "either": sum(not plus or not minus for plus, minus in sizes),
    }
    y = experiment.training_set.y
    exact = experiment.prediction.orthogonal and config.init.isotropic and config.ensemble.data == "same"
    positive, negative = int((y > 0).sum()), int((y < 0).sum())
    chances = empty_cone_probabilities(config.network.width, positive, negative) if exact else {}
    found["empty"] = {
        name: {"count": count, "of": len(sizes), "probability": chances.get(name)} for name, count in counts.items()
    }
    return found


def _curves(config: RunConfig, store: MemberStore, ended: int) -> dict[int, dict[str, float]]:
    """The statistics of every scalar at the iterations that all members are measured at, and the flow time where the
    first member had `ended` before."""
    steps = base_schedule(config).iterations
    rows: dict[int, dict[str, float]] = {step: {} for step in steps}
    for step in steps:
        if step > ended:
            rows[step][SAME] = config.solver.lr * step
    for name in store.names():
        if name == SAME:
            continue
        for part, values in statistics(store.curves(name, len(steps))).items():
            for step, value in zip(steps, values.tolist(), strict=True):
                if value == value:
                    rows[step][f"{name}/{part}"] = value
    return rows
