"""One member: trained and measured by the pieces of a single run, without Lightning's trainer, frames together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfflow.cautions import why_diverged
from gfflow.config import RunConfig
from gfflow.errors import Diverged, Interrupted, InvalidInput
from gfflow.experiment import Experiment, assemble, base_schedule, frames_of, measures_of, uses_cuda
from gfflow.model.data import TrainingSet
from gfflow.model.snapshot import Frames
from gfflow.records.ensemble import Kept, Member, member_of
from gfflow.records.measured_events import Table
from gfflow.records.summarise import summarise
from gfflow.records.summary import Summary
from gfflow.scalars import Measure
from gfflow.training.block import judge, move
from gfflow.training.module import GradientFlowModule
from gfflow.training.schedule import FEW

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trained:
    """A training that has ended: its module at its last measurement, the scalars, and the frames that are kept."""

    experiment: Experiment
    table: Table
    kept: Kept | None


Watch = Callable[[GradientFlowModule], AbstractContextManager[Any]]  # within it a signal sets the module's `signal`


def train_member(config: RunConfig, index: int, data: TrainingSet, watch: Watch = nullcontext) -> Member:
    """The member of that index of the ensemble `config`, on its data. What ends a single run with an error is the
    member's failure; a signal raises Interrupted."""
    own = config.member(index)
    try:
        own_data = own.make_data() if config.ensemble.data == "redrawn" else data
        experiment = assemble(own, own_data)
    except InvalidInput as error:
        return Member(own.seed, failure=str(error))
    return train_assembled(config, index, experiment, watch)


def train_assembled(config: RunConfig, index: int, experiment: Experiment, watch: Watch = nullcontext) -> Member:
    """`train_member` of a member whose experiment is there already."""
    own = config.member(index)
    try:
        trained = train_alone(own, experiment, index < config.ensemble.kept, watch)
    except (InvalidInput, Diverged) as error:
        return Member(own.seed, failure=str(error))
    module = experiment.module
    summary = summarise({"name": own.name, "seed": own.seed}, module, experiment.prediction, trained.table)
    return finished(config, experiment, summary, trained.table, trained.kept)


def finished(
    config: RunConfig, experiment: Experiment, summary: Summary, table: Table, kept: Kept | None = None
) -> Member:
    """What is left of a member whose training has ended, also of the first, which is trained as a single run."""
    module = experiment.module
    failure = "" if module.measurable() else why_diverged(module, experiment.start)
    return member_of(summary.seed, summary.to_dict(), table, base_schedule(config), kept, failure)


def train_alone(config: RunConfig, experiment: Experiment, keep: bool, watch: Watch = nullcontext) -> Trained:
    """Trains the experiment of a single run to its end, with all of its measurements; `keep`: also its frames."""
    module = experiment.module
    if uses_cuda(config) and "cuda" in module.solver.runs_on:
        module.to("cuda")
    training = _Training(module, measures_of(config, experiment))
    wanted = frames_of(config, experiment) if keep and config.callbacks.trajectory else None
    kept: list[tuple[int, Array, Array]] = []
    with watch(module):
        for frames in training.run():
            if wanted is not None:
                last = frames.iterations[-1] if module.stop_reason is not None else None
                chosen = [i for i, step in enumerate(frames.iterations) if step in wanted or step == last]
                kept += [
                    (frames.iterations[i], frames.neurons.w[i].numpy(), frames.neurons.a[i].numpy()) for i in chosen
                ]
        if module.signal is not None:  # it came after the last leap
            raise Interrupted(module.signal, module.iteration)
    return Trained(experiment, training.table(), Kept.of(kept, experiment.training_set) if kept else None)


class _Training:
    """The loop: some leaps of the solver, then all their frames measured and judged together."""

    def __init__(self, module: GradientFlowModule, measures: list[tuple[Measure, bool]]) -> None:
        self.module, self.measures = module, measures
        self.few = module.schedule.thinned(FEW)
        self.steps: list[int] = []
        self.parts: list[tuple[int, dict[str, Array]]] = []  # how many measurements, and their scalars

    def run(self) -> Iterator[Frames]:
        """The frames that were measured, in their order, some at a time; at the end the module stands where training
        has ended."""
        module, schedule = self.module, self.module.schedule
        module.ready()
        times = [module.solver.lr * step for step in schedule]
        for source, _ in self.measures:
            source.begin(module.snapshot(), times)
        blocks = -(-len(schedule) // module.together)
        count = -(-len(schedule) // blocks)
        stops = schedule.iterations
        while stops and module.stop_reason is None:
            frames = judge(module, move(module, stops[:count]))
            if frames.iterations:
                self._measure(frames)
                yield frames
            stops = schedule.after(module.iteration)

    def table(self) -> Table:
        """The scalars by name, `step` first, NaN where one was not measured."""
        names = dict.fromkeys(name for _, part in self.parts for name in part)
        columns: Table = {"step": np.array(self.steps, dtype=np.float64)}
        for name in names:
            values = np.concatenate([part.get(name, np.full(count, np.nan)) for count, part in self.parts])
            if not np.isnan(values).all():
                columns[name] = values
        return columns

    def _measure(self, frames: Frames) -> None:
        found: dict[str, Array] = {}
        for source, costly in self.measures:
            found |= source.measure_some(frames, self.few if costly else None)
        self.steps += frames.iterations
        self.parts.append((len(frames.iterations), found))
