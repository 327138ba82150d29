"""The scalars of a network as it stands, from its weights and its samples alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from gfflow import scalars
from gfflow.errors import InvalidInput
from gfflow.model.activations import RELU, leaky_relu
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.model.numbers import as_numbers
from gfflow.model.snapshot import Snapshot
from gfflow.scalars import Measure
from gfflow.training.foreign import LossOf, WeightsOf, as_training_set, read_weights, shifted, snapshot_of
from gfflow.training.shown import ModuleSnapshot, check_weights

Model = nn.Module | Neurons | Sequence[Any]  # a module, neurons, (w, a) or (w, a, output bias)


def measure(
    model: Model,
    x: Any,
    y: Any,
    *,
    loss: LossOf = "square",
    view: WeightsOf | None = None,
    slope: float | None = None,
    output_scale: float = 1.0,
    measures: Sequence[Measure] | None = None,
) -> dict[str, float]:
    """The scalars of the network on the samples x (n, d) and y (n,), by name: `loss`, `gradient/norm`, ... as a run
    logs them.

    `model` is a module with one hidden (leaky) ReLU layer and one output, for any other module with `view`, a
    function of it that returns its weights; or these weights themselves: w (m, d), a (m,) and perhaps an output bias.
    Where w has one coordinate more than x, its last is a hidden bias. `loss`, `slope` and `output_scale` are those of
    `callbacks.View`. The `measures` are by default all that one state of a network allows. Nothing of the module and
    no random state changes. Raises InvalidInput for a module that is another network, and samples that do not fit.
    """
    snapshot = Reader(x, y, loss, view, slope, output_scale).snapshot(model)
    found: dict[str, float] = {}
    for source in of_one_state() if measures is None else measures:
        source.begin(snapshot, [])
        found |= source.measure(snapshot)
    return found


def of_one_state() -> list[Measure]:
    """The measures that compare with nothing earlier."""
    return [
        scalars.Loss(),
        scalars.GradientNorm(),
        scalars.AlignmentCosines(),
        scalars.GroupMasses(),
        scalars.Margin(),
        scalars.Structure(),
    ]


class Reader:
    """Reads networks on the same samples; the first one, if it is a module, is checked against its own forward."""

    def __init__(
        self, x: Any, y: Any, loss: LossOf, view: WeightsOf | None, slope: float | None, output_scale: float
    ) -> None:
        self.x, self.y, self.loss = as_numbers(x, "x"), as_numbers(y, "y"), loss
        self.view, self.slope, self.output_scale = view, slope, output_scale
        self.activation = None if slope is None else leaky_relu(slope)
        self._data: TrainingSet | None = None
        self._checked = False

    def snapshot(self, model: Model, iteration: int = 0, time: float | None = None) -> Snapshot:
        """The network as it stands, copied."""
        if not isinstance(model, nn.Module):
            neurons, bias = self._given(model)
            return Snapshot(neurons, self._samples(neurons, bias), iteration, time)
        shown = read_weights(model, self.view, self.activation, self.output_scale)
        data = self._samples(shown.neurons, shown.output_bias)
        if not self._checked and self._data is not None:
            snapshot_of(model, self._data, self.view, self.slope, output_scale=self.output_scale)
            check_weights(shown)
            self._checked = True
        return ModuleSnapshot(shown, data, iteration, time)

    def _given(self, model: Neurons | Sequence[Any]) -> tuple[Neurons, float]:
        if isinstance(model, Neurons):
            return Neurons.copy_of(model.w, model.a, self.activation or model.activation, model.frozen), 0.0
        if not isinstance(model, (tuple, list)) or len(model) not in (2, 3):
            raise InvalidInput("model", type(model).__name__, "a module, (w, a) or (w, a, output bias)")
        w, a, *bias = (as_numbers(part, f"weights {i + 1}") for i, part in enumerate(model))
        return Neurons(w, a.flatten(), self.activation or RELU), float(bias[0]) if bias else 0.0

    def _samples(self, neurons: Neurons, bias: float) -> TrainingSet:
        """For h alone, with a last coordinate 1 where the neurons have one more."""
        coordinates = neurons.w.shape[1]
        if self._data is None or self._data.d != coordinates:
            self._data = as_training_set(self.x, self.y, coordinates, self.loss)
        return shifted(self._data, bias, self.output_scale)
