"""Whether a view tells the truth: on the first batch, the gradient of the stated loss through the view is that which
the training's own backward pass leaves in the module's parameters, but for one factor, the loss's normalisation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from gfflow.errors import InvalidInput
from gfflow.model.data import TrainingSet
from gfflow.model.losses import Loss
from gfflow.training.batches import tensors_in
from gfflow.training.first_batch import FirstBatch
from gfflow.training.foreign import as_training_set, shifted
from gfflow.training.shown import ModuleSnapshot, Shown

FEW = 16  # samples of the first batch that are looked up in the training set
LISTED = 12  # ways to read one batch that are tried


@dataclass(frozen=True)
class Accuracy:
    """What a training computes to: `rounding` of one weight, `eps` of its sums, with room for their order, and
    `share`, of a gradient, which counts as the same."""

    rounding: float
    eps: float
    share: float

    @classmethod
    def of(cls, module: nn.Module, precision: object = "") -> Accuracy:
        """Of the module's parameters, and of Lightning's `precision`, which may be less."""
        dtypes = {parameter.dtype for parameter in module.parameters()}
        rounding = max((torch.finfo(dtype).eps for dtype in dtypes if dtype.is_floating_point), default=0.0) / 2
        if "bf16" in str(precision) or torch.bfloat16 in dtypes:
            return cls(rounding, 3e-2, 1e-1)
        if "16" in str(precision) or torch.float16 in dtypes:
            return cls(rounding, 4e-3, 2e-2)
        if torch.float32 in dtypes:
            reduced = torch.get_float32_matmul_precision() != "highest"
            return cls(rounding, 4e-3, 1e-2) if reduced else cls(rounding, 4e-6, 1e-3)
        return cls(rounding, 1e-13, 1e-7)


@dataclass(frozen=True)
class Reading:
    """A batch as samples (x, y) of a loss, and what the view makes of it: the mean loss, its gradient in all
    parameters, and by how much rounding may change either."""

    shown: Shown
    x: Tensor
    y: Tensor
    loss: Loss
    samples: TrainingSet
    value: float
    gradient: Mapping[str, Tensor]
    value_slack: float
    slack: Mapping[str, float]

    @classmethod
    def of(cls, shown: Shown, x: Tensor, y: Tensor, loss: Loss, eps: float) -> Reading | None:
        """None where x and y are no samples for such neurons."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                samples = as_training_set(x, y, shown.neurons.w.shape[1], loss)
                data = shifted(samples, shown.output_bias, shown.output_scale)
        except (InvalidInput, RuntimeError):
            return None
        seen, neurons = ModuleSnapshot(shown, data), shown.neurons
        h = neurons.a.abs() @ seen.preactivations.abs() + abs(shown.output_bias)
        pulls = data.loss.residual(torch.zeros_like(data.y), data.y).abs()
        bend = data.loss.curvature(seen.outputs, data.y).abs()
        rho = eps * (bend * h + pulls + seen.residuals.abs())  # what rounding may add to each residual
        phi = neurons.activation.value(seen.preactivations).norm(dim=0)
        open_ = neurons.activation.derivative(seen.preactivations).square()
        turns = (neurons.a.square() @ open_).sqrt() * data.norms  # of h by w
        slack: dict[str, float] = {}
        for names, by in zip(shown.sources, (turns, phi, torch.ones_like(rho)), strict=False):
            slack |= {name: slack.get(name, 0.0) + float((rho * by).mean()) for name in names}
        value_slack = float((rho * (seen.residuals.abs() + rho)).mean())
        return cls(shown, x, y, loss, samples, seen.loss, shown.gradient(seen), value_slack, slack)


@dataclass(frozen=True)
class Fit:
    """How a reading agrees with the training: the gradient is `factor` times the view's in every parameter but those
    `apart`, and so is the loss unless `value_agrees` is False (None: it was not seen)."""

    factor: float
    apart: tuple[str, ...]
    value_agrees: bool | None

    @property
    def holds(self) -> bool:
        return self.factor > 0 and not self.apart and self.value_agrees is not False


def compare(reading: Reading, seen: FirstBatch, share: float) -> Fit:
    """The training's gradients and loss beside those of the reading."""
    own, through = both(reading, seen)
    square = sum(float(slope.square().sum()) for slope in through.values())
    product = sum(float((own[name] * through[name]).sum()) for name in own)
    factor = product / square if square else 0.0
    apart = []
    for name in own:
        size = float(through[name].norm()) + 1e-2 * square**0.5
        allowed = abs(factor) * (share * size + reading.slack.get(name, 0.0))
        if float((own[name] - factor * through[name]).norm()) > allowed:
            apart.append(name)
    return Fit(factor, tuple(apart), _agrees(factor * reading.value, seen.loss, factor * reading.value_slack, share))


def _agrees(mine: float, own: float | None, slack: float, share: float) -> bool | None:
    return None if own is None else abs(own - mine) <= 10 * share * (abs(own) + abs(mine)) + abs(slack)


def both(reading: Reading, seen: FirstBatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The training's gradients and those through the view, of all parameters that require one; zero where there is
    none."""
    names = sorted(seen.trainable & (set(seen.gradients) | set(reading.gradient)))
    zeros = {name: torch.zeros(seen.shown.parameters[name].shape, dtype=torch.float64) for name in names}
    return {n: seen.gradients.get(n, zeros[n]) for n in names}, {n: reading.gradient.get(n, zeros[n]) for n in names}


def readings(seen: FirstBatch, training_set: TrainingSet, eps: float) -> Iterator[Reading]:
    """The ways to read the batch as samples, the likeliest first: the inputs as the first layer was given them, or
    else any tensor of the batch; the labels as the batch has them, or as the training set has them."""
    tensors = tensors_in(seen.batch)
    inputs = list(seen.inputs)
    if len(inputs) > 1 and len({part.shape[1:] for part in inputs}) == 1:
        inputs.append(torch.cat(inputs))
    found = (
        Reading.of(seen.shown, x, y, training_set.loss, eps)
        for x in inputs or tensors
        if x.ndim and not x.is_complex()
        for y in _labels(x, tensors, training_set, eps)
    )
    yield from islice((reading for reading in found if reading is not None), LISTED)


def _labels(x: Tensor, tensors: list[Tensor], training_set: TrainingSet, eps: float) -> Iterator[Tensor]:
    yield from (y for y in reversed(tensors) if y is not x and y.numel() == len(x) and not y.is_complex())
    known = _labels_of(x, training_set, eps)
    if known is not None:
        yield known


def _distances(rows: Tensor, among: Tensor) -> Tensor:
    """Of each row to the nearest, relative to its own size, and which that is."""
    near = torch.cdist(rows, among, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    return torch.stack([near.values / rows.norm(dim=1).clamp(min=1e-300), near.indices.to(rows.dtype)])


def _labels_of(x: Tensor, training_set: TrainingSet, eps: float) -> Tensor | None:
    rows = x.reshape(len(x), -1).detach().to("cpu", torch.float64)
    known = training_set.x[:, : rows.shape[1]]
    if rows.shape[1] < training_set.d - 1 or rows.shape[1] > training_set.d or rows.numel() * len(known) > 10**9:
        return None
    apart, index = _distances(rows, known)
    return training_set.y[index.long()] if bool((apart <= min(100 * eps, 1e-2)).all()) else None


def are_in(reading: Reading, training_set: TrainingSet, eps: float) -> bool:
    """Whether the samples are some of the training set's; a few are looked up."""
    count = reading.samples.n
    some = torch.linspace(0, count - 1, min(FEW, count)).round().long()
    rows = torch.cat([reading.samples.x, reading.samples.y[:, None]], dim=1)[some]
    known = torch.cat([training_set.x, training_set.y[:, None]], dim=1)
    return bool((_distances(rows, known)[0] <= min(100 * eps, 1e-2)).all())
