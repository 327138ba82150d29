"""What an integrator of the flow is: free steps from a state, each with its dense output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch

from gfflow.errors import Stalled
from gfflow.motion.flow.coordinates import Array, Problem, State, of_tensors, to_tensors
from gfflow.motion.flow.length import too_short
from gfflow.motion.target import FADED, faded

MOST_STEPS = 1_000_000
FLOOR = 1e-9  # residuals below this part of the labels need no relative accuracy
KNOWN = 0.1  # of rtol: how well the residual of a fitted sample is known beside others
ROUNDING = 2e-15  # of a residual, relative to what it is a difference of


def rms(v: Array) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(v * v)))


class Integrator(ABC):
    """Integrates the flow from `state` at `time` by adaptive steps; `at` gives any time within the last step."""

    method: ClassVar[str]
    order: ClassVar[int]  # of the error estimate: it is proportional to h^order

    def __init__(self, problem: Problem, state: State, time: float, rtol: float) -> None:
        self.problem = problem
        self.rtol = rtol
        self.time = self.began = time  # the last step led from `began` to `time`
        self.state = self.origin = state
        c = problem.y / problem.n
        self.h = 0.1 / float(np.sqrt(c @ problem.gram @ c) or 1.0)
        self.longest = np.inf  # that the next step may be, soon after one has failed
        self.counters = {"evaluations": 0, "steps": 0, "rejected_steps": 0, "gate_events": 0, "sliding_episodes": 0}
        self.corrections = np.zeros(3)  # the largest by which a neuron's length, gates, balance have been put right

    @abstractmethod
    def advance(self, until: float, most: int = MOST_STEPS) -> None:
        """Accepted steps, one at least and `most` at most, until the time is reached; fewer, so that a signal can be
        looked for. Raises Stalled where one would have to be too short, or after MOST_STEPS."""

    @property
    @abstractmethod
    def residual(self) -> Array:
        """r (n,) of the merged training set at `time`."""

    @abstractmethod
    def at(self, time: float) -> State:
        """The state at a time within the last step."""

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """What the next step and the dense output need besides the states: names of attributes and arrays."""

    def step(self) -> None:
        """One accepted step; raises Stalled as `advance` does."""
        self.advance(np.inf, 1)

    def check_going_on(self) -> int:
        """How many steps there still may be; raises Stalled where no further one can be taken."""
        left = MOST_STEPS - self.counters["steps"]
        if too_short(self.h, self.time) or left <= 0:
            raise Stalled(
                f"the flow stalled at time {self.time:.6g} after {self.counters['steps']} steps, step size "
                f"{self.h:.1e}",
                f"try another solver.method, or a larger solver.rtol than {self.rtol:g}",
            )
        return left

    def check_digits(self) -> None:
        """Raises Stalled where the slopes of the residuals have none left."""
        if faded(self.problem.target, self.residual):
            raise Stalled(
                f"the residuals have fallen below {FADED:g} at time {self.time:.6g}, where their slopes have "
                "no digits in float64",
                "end earlier, by solver.stop_loss or solver.iterations",
            )

    def summary(self) -> dict[str, Any]:
        """Counters; an evaluation is one right-hand side of the whole network, or one exact motion of it. And the
        largest corrections, relative to a neuron's size, of what the flow conserves: rounding, for exact motions."""
        corrections = dict(zip(("length", "gates", "balance"), self.corrections.tolist(), strict=True))
        return {"method": self.method, **self.counters, "corrections": corrections}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values."""
        return {
            "time": self.time,
            "began": self.began,
            "h": self.h,
            "longest": self.longest,
            "state": to_tensors(self.state),
            "origin": to_tensors(self.origin),
            "counters": dict(self.counters),
            "corrections": self.corrections.tolist(),
            "arrays": {name: torch.from_numpy(np.array(value)) for name, value in self.arrays().items()},
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Takes back what state_dict gave."""
        self.time, self.began, self.h = saved["time"], saved["began"], saved["h"]
        self.state, self.origin = of_tensors(saved["state"]), of_tensors(saved["origin"])
        self.longest = saved["longest"]
        self.counters, self.corrections = dict(saved["counters"]), np.array(saved["corrections"])
        for name, value in self.arrays().items():
            value[...] = saved["arrays"][name].cpu().numpy()
