"""GradientFlowModule: network, training set and solver as a LightningModule that trains in leaps."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from gfflow.errors import Interrupted
from gfflow.measures.rest import resting
from gfflow.model.data import TrainingSet
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Frames, Snapshot
from gfflow.solvers.base import Abandoned, Solver
from gfflow.training.block import judge, largest_block, move
from gfflow.training.schedule import FEW, Schedule

SECONDS = 0.1  # that a block may take, besides its last leap


class _Blocks:
    """The data loader: blocks, each of the next scheduled iterations from where the module stands, so that a resumed
    run goes on. As many as there are leaps at most."""

    def __init__(self, module: GradientFlowModule) -> None:
        self.module = module

    def __len__(self) -> int:
        return len(self.module.schedule) - 1

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        module = self.module
        while block := module.schedule.after(module.iteration, module.together):
            yield block


class GradientFlowModule(pl.LightningModule):
    """Trains a two-layer ReLU network by leaps.

    A leap is all the steps from one scheduled iteration to the next, done by the solver (manual optimisation). One
    Lightning batch is a block of leaps, about a tenth of a second's worth, where every callback of the trainer
    `takes_blocks`: they then find the networks passed in `frames`. Otherwise a batch is one leap, `frames` is None,
    and `on_train_batch_end` falls exactly on scheduled iterations; callbacks measure there, through `snapshot()`.
    `iteration` counts steps and is saved in checkpoints.

    Training ends at the schedule's last iteration, or at the first scheduled one where the loss is below
    stop_loss, where the weights or the gradient squared are no longer finite, or where at positive loss every neuron
    is at rest; `stop_reason` then says 'iterations', 'loss', 'diverged' or 'stationary' (None while
    training goes on).
    """

    def __init__(
        self,
        network: TwoLayerReLU,
        training_set: TrainingSet,
        solver: Solver,
        schedule: Schedule,
        stop_loss: float | None = None,
    ) -> None:
        super().__init__()
        solver.check(network, training_set)
        self.automatic_optimization = False
        self.network = network
        self.training_set = training_set
        self.solver = solver
        self.schedule = schedule
        self.stop_loss = stop_loss
        self.iteration = 0
        self.measured: set[int] = set()  # scheduled iterations passed by now, also those of a shorter schedule before
        self.stop_reason: str | None = None
        self.configuration: dict[str, Any] = {}  # of the run, kept with its checkpoints
        self.signal: int | None = None  # set from outside: a signal's number, to stop at the next pause
        self.train_seconds = 0.0
        self._earlier_seconds, self._clock = 0.0, time.perf_counter()  # before this process went on, and since then
        self.last_finite: Snapshot | None = None  # at the last scheduled iteration that was not divergent
        self._snapshot: Snapshot | None = None
        self._stride = 1  # steps between two looks at whether a signal has come, known when training begins
        self.together = 1  # leaps in a block at most, known when training begins
        self.frames: Frames | None = None  # at the leaps of the last block, if it was of several

    def forward(self, x: Tensor) -> Tensor:
        """h(x), shape (n,), for inputs x (n, d)."""
        return self.network(x)

    def configure_optimizers(self) -> None:
        """None: the solver moves the weights."""

    def train_dataloader(self) -> Any:
        return _Blocks(self)

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        """A block is plain integers: nothing to move."""
        return batch

    def on_train_start(self) -> None:
        self.ready()
        callbacks: list[Any] = self.trainer.callbacks  # type: ignore[attr-defined]
        if not all(getattr(callback, "takes_blocks", False) for callback in callbacks):
            self.together = 1

    def ready(self) -> None:
        """Prepares the solver, which is then asked for leaps."""
        self._make_ready()
        self.solver.stop_asked = self._signalled
        self._stride = self.solver.stride(self.network, self.training_set)
        self.together = largest_block(self)

    def training_step(self, block: tuple[int, ...], batch_idx: int) -> None:
        if len(block) == 1:
            self.frames = None
            self.leap(block[0])
            self.judge(self.snapshot())
        else:
            self.frames = judge(self, move(self, block, SECONDS))
        if self.stop_reason is not None:
            self.trainer.should_stop = True

    def leap(self, stop: int) -> None:
        """Moves the network to the iteration `stop`, once `ready` has been called; raises Interrupted where a signal
        came meanwhile. Whether training has ended there is not looked at: `judge` does."""
        began = time.perf_counter()
        iteration, stride = self.iteration, self._stride  # a module's attributes cost as much as a short leap
        solver, network, data = self.solver, self.network, self.training_set
        try:
            while iteration < stop:
                if self.signal is not None:
                    raise Interrupted(self.signal, iteration)
                pause = min(stop, (iteration // stride + 1) * stride)
                solver.advance(network, data, iteration, pause)
                iteration = pause
        except Abandoned:
            raise Interrupted(self.signal or 0, iteration) from None
        finally:
            self.train_seconds += time.perf_counter() - began
            self.iteration = iteration

    def within_a_stride(self, stops: Sequence[int]) -> Sequence[int]:
        """Those of the iterations ahead that come before the solver is to look whether a signal has come."""
        return stops[: bisect_right(stops, (self.iteration // self._stride + 1) * self._stride)]

    def leap_through(self, stops: Sequence[int]) -> tuple[Tensor, Tensor] | None:
        """Moves the network to each of several iterations (T,) within a stride in one call of the solver: its weights
        at each, w (T, m, d) and a (T, m). None, and nothing done, where the solver has no such call, or a signal has
        come."""
        if len(stops) < 2 or self.signal is not None:
            return None
        began = time.perf_counter()
        try:
            found = self.solver.advance_through(self.network, self.training_set, self.iteration, stops)
        except Abandoned:  # nothing has moved
            found = None
        if found is not None:
            self.iteration = stops[-1]
        self.train_seconds += time.perf_counter() - began
        return found

    def judge(self, snapshot: Snapshot) -> None:
        """Sets stop_reason for the network as it stands, of which this is the snapshot."""
        self.stop_reason = self._reason_to_stop(snapshot)
        if self.stop_reason != "diverged":
            self.last_finite = snapshot

    def go_back(self, snapshot: Snapshot) -> None:
        """Sets the network to the snapshot, where it has gone on from there; the solver's own state stays."""
        if self.iteration != snapshot.iteration:
            with torch.no_grad():
                self.network.hidden.copy_(snapshot.neurons.w)
                self.network.output.copy_(snapshot.neurons.a)
        self.iteration, self._snapshot = snapshot.iteration, snapshot

    def may_stop(self, frames: Frames) -> Tensor:
        """At which frames `judge` may find a reason to stop, boolean (T,): all frames looked at together."""
        squares = frames.gradient_norms.square()
        found = ~torch.isfinite(frames.losses + frames.neurons.half_norms_squared + squares)
        if self.stop_loss is not None:
            found |= frames.losses < self.stop_loss
        found |= resting(frames, self.solver.resolution)
        return found | (torch.tensor(frames.iterations) >= self.schedule.last)

    def _signalled(self) -> bool:
        return self.signal is not None

    def _make_ready(self) -> None:
        if self.solver.compiles:
            from gfflow.compiled import make_ready  # numba is imported only when it is needed

            make_ready()

    def start_clock(self) -> None:
        """From now on this process trains and measures."""
        self._make_ready()
        self._clock = time.perf_counter()

    @property
    def fit_seconds(self) -> float:
        """Training and measuring so far, in all processes that have had the run."""
        return self._earlier_seconds + time.perf_counter() - self._clock

    def on_schedule(self) -> bool:
        """Whether the network stands at a scheduled iteration (a run resumed in the middle of a leap does not)."""
        return self.iteration in self.schedule

    @property
    def few(self) -> Schedule:
        """The iterations at which costlier measures are taken."""
        return self.schedule.thinned(FEW)

    def due(self, schedule: Schedule | None = None, ended: bool = False) -> bool:
        """Whether to measure now what is wanted at the iterations of that schedule, by default this one's, and, where
        training has `ended`, at its end."""
        now = ended or self.on_schedule()
        return now and (schedule is None or self.iteration in schedule)

    @property
    def step_size(self) -> float:
        """Flow time per iteration."""
        return self.solver.lr

    def _goes_further(self) -> bool:
        """Whether a training that had ended by its iterations or its loss has not ended by those that hold now."""
        if self.stop_reason not in ("iterations", "loss") or self.iteration >= self.schedule.last:
            return False
        return self.stop_loss is None or self.snapshot().loss >= self.stop_loss

    def measurable(self) -> bool:
        """Whether the weights and the loss are finite."""
        return self.stop_reason != "diverged"

    def ended(self) -> bool:
        """Whether training has ended, other than by divergence."""
        return self.stop_reason is not None and self.measurable()

    def snapshot(self) -> Snapshot:
        """The network as it stands, copied: all measurements of one iteration share it."""
        if self._snapshot is None or self._snapshot.iteration != self.iteration:
            time = self.solver.lr * self.iteration
            self._snapshot = Snapshot(self.network.neurons(), self.training_set, self.iteration, time)
        return self._snapshot

    def passed(self, wanted: Schedule | None, ended: bool = False) -> list[Snapshot]:
        """The network where it was `due` in the last block, as far as it was finite."""
        if self.frames is None or ended:
            return [self.snapshot()] if self.due(wanted, ended) and self.measurable() else []
        return [
            self.frames.at(i) for i, step in enumerate(self.frames.iterations) if wanted is None or step in wanted
        ]

    def _reason_to_stop(self, snapshot: Snapshot) -> str | None:
        gradient = snapshot.gradient_norm
        if not math.isfinite(snapshot.loss + snapshot.neurons.half_norm_squared + gradient * gradient):
            return "diverged"
        if self.stop_loss is not None and snapshot.loss < self.stop_loss:
            return "loss"
        if self.solver.at_rest(snapshot):
            return "stationary"
        return "iterations" if snapshot.iteration >= self.schedule.last else None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        last = self.last_finite
        begun = max(self.measured, default=-1)
        self.measured |= {step for step in self.schedule if begun < step <= self.iteration}
        checkpoint["gfflow"] = {
            "measured": sorted(self.measured),
            "config": self.configuration,
            "iteration": self.iteration,
            "stop_reason": self.stop_reason,
            "train_seconds": self.train_seconds,
            "fit_seconds": self.fit_seconds,
            "last_finite": None if last is None else (last.iteration, last.neurons.w, last.neurons.a),
            "solver": self.solver.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint["gfflow"]
        self.iteration = saved["iteration"]
        self.measured = set(saved["measured"])
        self.stop_reason = saved["stop_reason"]
        self.train_seconds = saved["train_seconds"]
        self._earlier_seconds = saved["fit_seconds"]
        if saved["last_finite"] is not None:
            iteration, w, a = saved["last_finite"]
            self.last_finite = Snapshot(
                Neurons(w, a, self.network.activation, self.network.frozen),
                self.training_set,
                iteration,
                self.solver.lr * iteration,
            )
        self.solver.load_state_dict(saved["solver"])
        self._snapshot = None
        if self._goes_further():
            self.stop_reason = None
