"""The flow of given neurons, without a network or a trainer around it: for predictions."""

from __future__ import annotations

from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.motion.flow.coordinates import Array, State, directions, enter, leave, log_norms, merged
from gfflow.motion.flow.integrator import MOST_STEPS
from gfflow.motion.flow.methods import integrator_class


class Trajectory:
    """Gradient flow (Eq. 2) on a training set from given neurons, to the relative tolerance rtol.

    Each neuron is first multiplied by e^{log_factors_j}, so that it may be smaller than any float64: with a logarithm
    of -1e6 it is passive, that is it moves in the field of the others and does not act on them. `step` takes one free
    step, as long as the tolerance allows; a state within the last one is given by `at`.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        neurons: Neurons,
        rtol: float = 1e-6,
        method: str = "auto",
        log_factors: Array | None = None,
    ) -> None:
        self.training_set = training_set
        problem, state = enter(merged(training_set), neurons, log_factors)
        self.integrator = integrator_class(method)(problem, state, 0.0, rtol)

    @property
    def time(self) -> float:
        """The flow time that the last step has reached."""
        return self.integrator.time

    @property
    def evaluations(self) -> int:
        """How many times the whole network has been moved: what all of this costs."""
        return self.integrator.counters["evaluations"]

    def step(self) -> float:
        """One step; the flow time that it reaches. Raises Stalled where it would have to be too short."""
        self.integrator.step()
        return self.time

    def reach(self, time: float, evaluations: float = float("inf")) -> bool:
        """Steps until the time is reached, True, or until that many evaluations are spent in all, False."""
        most = MOST_STEPS if evaluations == float("inf") else 1
        while self.time < time:
            if self.evaluations >= evaluations:
                return False
            self.integrator.advance(time, most)
        return True

    def at(self, time: float) -> State:
        """The state at a time within the last step."""
        return self.integrator.at(time)

    def neurons(self, state: State) -> Neurons:
        """The weights of a state; those below the range of float64 are 0."""
        return leave(self.integrator.problem, state)

    def log_norms(self, state: State) -> Array:
        """ln ||w_j||, shape (m,), however small."""
        return log_norms(state)

    def directions(self, state: State) -> Array:
        """w_j / ||w_j||, shape (m, d), of neurons however small."""
        return directions(self.integrator.problem, state)

    def loss(self, state: State) -> float:
        """L (Eq. 1) of a state."""
        h = self.neurons(state).outputs(self.training_set.x)
        return float(self.training_set.loss.value(h, self.training_set.y).mean())
