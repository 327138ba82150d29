"""The solver `flow`: gradient flow at flow time lr * iteration, by adaptive integration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from gfflow.model.data import TrainingSet
from gfflow.model.network import TwoLayerReLU
from gfflow.model.snapshot import Snapshot
from gfflow.solvers.base import Abandoned, Solver
from gfflow.solvers.options import SolverOptions

if TYPE_CHECKING:
    from gfflow.motion.flow.integrator import Integrator


class Flow(Solver):
    """Integrates gradient flow (Eq. 2) to the relative tolerance rtol; iteration i stands at time lr * i.

    Steps are free: they run past the scheduled iterations, whose weights are the last step's dense output. The
    integrator goes on from leap to leap, unless somebody else has changed the weights in between, from which it then
    starts anew. Any start, balanced or not, at any scale down to 1e-300.

    method 'auto' is 'splitting' on all data: its steps cover plateaus whole, pass through gate changes and are not
    bound to the fastest relaxation. 'runge_kutta' stops at every gate change and walks through plateaus;
    at moderate scales on orthogonal data it needs up to three times fewer evaluations at tight tolerances. Raises
    Stalled where the steps would have to become too short.
    """

    name: ClassVar[str] = "flow"
    is_descent: ClassVar[bool] = False
    compiles: ClassVar[bool] = True

    def __init__(self, lr: float, rtol: float = 1e-6, method: str = "auto") -> None:
        super().__init__(lr)
        SolverOptions.check(rtol=rtol, method=method)
        self.rtol = self.resolution = rtol
        self.method = method
        self._integrator: Integrator | None = None
        self._iteration = 0
        self._written: tuple[torch.Tensor, torch.Tensor] | None = None
        self._saved: dict[str, Any] | None = None
        self._sliding_pairs = 0
        self._vanished = np.zeros((0, 0)), np.zeros(0)  # directions and signs of neurons below the smallest float
        self._loaded = False

    def check(self, network: TwoLayerReLU, training_set: TrainingSet) -> None:
        super().check(network, training_set)
        self.check_device(network)
        if not self._loaded:  # compiled code is loaded by a trial leap, before anybody times the training
            from gfflow.motion.flow.coordinates import leave  # numba is imported only when it is needed

            integrator = self._integrator_from(network, training_set, 0.0)
            integrator.step()
            leave(integrator.problem, integrator.at(integrator.time / 2))
            self._loaded = True

    def stride(self, network: TwoLayerReLU, training_set: TrainingSet) -> int:
        return 2**62  # leaps may be of any number of iterations, while steps are free: it looks between its steps

    def advance(self, network: TwoLayerReLU, training_set: TrainingSet, start: int, stop: int) -> None:
        from gfflow.motion.flow.coordinates import directions, leave
        from gfflow.motion.gates import SLIDING  # numba is imported only when it is needed

        self.check(network, training_set)
        if self._saved is not None:
            self._restore(training_set)
        if self._integrator is None or not self._untouched(network, start):
            self._integrator = self._integrator_from(network, training_set, self.lr * start)
        integrator = self._integrator
        while integrator.time < self.lr * stop:
            if self.stop_asked():  # its steps are kept: who goes on from the leap's beginning finds them done
                raise Abandoned
            integrator.advance(self.lr * stop)
        state = integrator.at(self.lr * stop)
        neurons = leave(integrator.problem, state)
        with torch.no_grad():
            network.hidden.copy_(neurons.w)
            network.output.copy_(neurons.a)
        self._written = (network.hidden.detach().clone(), network.output.detach().clone())
        self._iteration = stop
        self._sliding_pairs = int((state.gate == SLIDING).sum())
        vanished = (neurons.norms == 0).numpy()
        self._vanished = directions(integrator.problem, state)[vanished], np.sign(state.a[vanished])

    def at_rest(self, snapshot: Snapshot) -> bool:
        """As of any solver; but neurons whose weights are below the smallest float live on in the integrator's state,
        and while one of them grows (s_j G(v_j) > 0) the network will leave again."""
        if not super().at_rest(snapshot):
            return False
        v, signs = self._vanished
        if not len(signs):
            return True
        from gfflow.motion.field import growth

        x, r, slope = snapshot.training_set.x.numpy(), snapshot.residuals.numpy(), snapshot.neurons.activation.slope
        rates = signs * (growth(x, r, v) - slope * growth(-x, r, v))
        return not bool((rates > self.resolution * snapshot.largest_field).any())

    def _untouched(self, network: TwoLayerReLU, start: int) -> bool:
        written = self._written
        return (
            written is not None
            and start == self._iteration
            and torch.equal(network.hidden, written[0])
            and torch.equal(network.output, written[1])
        )

    def _integrator_from(self, network: TwoLayerReLU, training_set: TrainingSet, time: float) -> Integrator:
        from gfflow.motion.flow.coordinates import enter, merged
        from gfflow.motion.flow.methods import integrator_class

        problem, state = enter(merged(training_set), network.neurons())
        return integrator_class(self.method)(problem, state, time, self.rtol)

    def scalars(self) -> dict[str, float]:
        return {"flow/sliding_pairs": float(self._sliding_pairs)}

    def summary(self) -> dict[str, Any]:
        if self._saved is not None:  # loaded, and nothing left to do
            counters: dict[str, Any] = self._saved["summary"]
            return counters
        counters = self._integrator.summary() if self._integrator else {}
        return {"rtol": self.rtol, **counters, "sliding_pairs": self._sliding_pairs}

    def state_dict(self) -> dict[str, Any]:
        if self._saved is not None:
            return self._saved
        if self._integrator is None or self._written is None:
            return {}
        return {
            "iteration": self._iteration,
            "written": list(self._written),
            "problem": self._integrator.problem.tensors(),
            "integrator": self._integrator.state_dict(),
            "summary": self.summary(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._saved = state or None
        self._sliding_pairs = state["summary"]["sliding_pairs"] if state else 0

    def _restore(self, training_set: TrainingSet) -> None:
        from gfflow.motion.flow.coordinates import merged, of_tensors, problem_of_tensors
        from gfflow.motion.flow.methods import integrator_class

        saved, self._saved = self._saved, None
        assert saved is not None
        self._iteration = saved["iteration"]
        hidden, output = saved["written"]
        self._written = (hidden.cpu(), output.cpu())
        problem = problem_of_tensors(merged(training_set), saved["problem"])
        origin = of_tensors(saved["integrator"]["state"])
        self._integrator = integrator_class(self.method)(problem, origin, 0.0, self.rtol)
        self._integrator.load_state_dict(saved["integrator"])
