"""How far descent is from the flow that it approximates."""

from __future__ import annotations

from typing import Any

from gfflow.model.activations import leaky_relu
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Measure, Scalars, Setting, measure
from gfflow.solvers import Flow

_WHERE = "`callbacks.flow=true`"


@measure(
    "flow",
    [
        Scalars(("flow/distance",), "distance of descent to the flow at equal time, in all weights", _WHERE),
        Scalars(("flow/function_distance",), "the same on the training inputs, max_k |h(x_k) - h_flow(x_k)|", _WHERE),
    ],
    switch="flow",
)
class FlowDistance(Measure):
    """Integrates the flow alongside, from the same start, and compares at equal time.

    `flow/distance`: ||theta - theta_flow||, in all weights; `flow/function_distance`: max_k |h(x_k) - h_flow(x_k)|
    over the training inputs. Both are first order in the step size lr, the flow time per iteration. rtol is the
    flow's relative tolerance. Raises Stalled where the flow cannot be integrated, and InvalidInput for what the flow
    does not know: a loss of your own, a frozen layer.
    """

    def __init__(self, lr: float, rtol: float = 1e-6) -> None:
        self.lr, self.rtol = lr, rtol
        self.flow = Flow(lr, rtol)
        self.network: TwoLayerReLU | None = None  # where the flow stands
        self.iteration = 0

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        return None if setting.solver is None else cls(setting.solver.lr, setting.rtol)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        if self.network is None:
            self.network, self.iteration = TwoLayerReLU(snapshot.neurons), snapshot.iteration
            self.flow = Flow(self.lr, self.rtol)
        if snapshot.iteration > self.iteration:
            self.flow.advance(self.network, snapshot.training_set, self.iteration, snapshot.iteration)
            self.iteration = snapshot.iteration
        flow = Snapshot(self.network.neurons(), snapshot.training_set, snapshot.iteration, snapshot.time)
        return {
            "flow/distance": snapshot.neurons.distance(flow.neurons),
            "flow/function_distance": float((snapshot.residuals - flow.residuals).abs().max()),
        }

    def state_dict(self) -> dict[str, Any]:
        if self.network is None:
            return {}
        neurons = self.network.neurons()
        slope = neurons.activation.slope
        return {
            "iteration": self.iteration,
            "w": neurons.w,
            "a": neurons.a,
            "slope": slope,
            "flow": self.flow.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            self.network = TwoLayerReLU(Neurons(state["w"], state["a"], leaky_relu(state["slope"])))
            self.iteration = state["iteration"]
            self.flow.load_state_dict(state["flow"])
