"""What a view has wrong, found from one batch: the first change of it under which it would hold, in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from torch import Tensor, nn

from gfflow.errors import InvalidInput
from gfflow.model.activations import leaky_relu
from gfflow.model.losses import Loss
from gfflow.model.options import LOSSES
from gfflow.training.first_batch import FirstBatch
from gfflow.training.foreign import KNOWN_LOSSES, as_loss
from gfflow.training.shown import Shown
from gfflow.training.view_check import Accuracy, Reading, both, compare

SLOPES = (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5)  # of leaky ReLUs that are tried
ANYWAY = "View(check=False) measures what is stated all the same"
NOISY = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)  # in training they change the output


@dataclass(frozen=True)
class Faults:
    """The first batch and how it was read; `forward_agrees`: the module's forward has been seen to be the view's."""

    module: nn.Module
    seen: FirstBatch
    accuracy: Accuracy
    forward_agrees: bool

    def _holds(self, reading: Reading | None) -> bool:
        return reading is not None and compare(reading, self.seen, self.accuracy.share).holds

    def _read(self, reading: Reading, shown: Shown | None = None, loss: Loss | None = None) -> Reading | None:
        return Reading.of(shown or reading.shown, reading.x, reading.y, loss or reading.loss, self.accuracy.eps)

    def ambiguous(self, reading: Reading) -> str | None:
        """What else the training's loss may be where its value was not seen; None where nothing else fits."""
        if self.seen.loss is not None:
            return None
        for name in self._other_losses(reading):
            return f"View(loss={reading.loss.name!r}) or View(loss={name!r})"
        if not self.forward_agrees and self._holds(self._scaled(reading, 0.5 * reading.shown.output_scale)):
            return "View(output_scale=...)"
        return None

    def explain(self, reading: Reading) -> NoReturn:
        """Raises InvalidInput with what differs and what to pass."""
        for received, remedy in self._found(reading):
            raise InvalidInput("view", received, f"{remedy}; {ANYWAY}")
        raise AssertionError("a fault is always found")

    def _found(self, reading: Reading) -> Iterator[tuple[str, str]]:
        fit = compare(reading, self.seen, self.accuracy.share)
        own, through = both(reading, self.seen)
        noisy = [part for part in self.module.modules() if isinstance(part, NOISY) and getattr(part, "p", 1) > 0]
        if noisy:
            kind = type(noisy[0]).__name__
            yield f"a network without the {kind}, which changes the output in training", "a network that has none"
        left_out = [name for name, slope in own.items() if name not in reading.gradient and bool(slope.any())]
        if left_out:
            yield f"weights without {left_out[0]!r}, which is trained", "a view of all that the output is made of"
        for name in self._other_losses(reading):
            yield f"the {reading.loss.name} loss, trained by another, the {name} one", f"View(loss={name!r})"
        for scale in self._scales(reading):
            if self._holds(self._scaled(reading, scale)):
                received = f"a network whose output is multiplied by {scale / reading.shown.output_scale:.6g}"
                yield received, f"View(output_scale={scale:.6g})"
        for slope in SLOPES:
            neurons = replace(reading.shown.neurons, activation=leaky_relu(slope))
            if self._holds(self._read(reading, replace(reading.shown, neurons=neurons))):
                yield "a ReLU for a leaky ReLU", f"View(slope={slope})"
        still = [name for name in fit.apart if not bool(own[name].any())]
        if still:
            yield (
                f"{still[0]!r}, which gets no gradient in training",
                "a parameter that requires none, or one that moves",
            )
        ratios = _ratios(own, through, self.accuracy.share)
        if ratios and max(ratios.values()) > min(ratios.values()) * (1 + 10 * self.accuracy.share):
            shown = ", ".join(f"{ratio:.4g} in {name!r}" for name, ratio in ratios.items())
            yield (
                f"a gradient that training multiplies by a factor by layer, {shown}",
                "weights as they enter the output, and View(output_scale=...) for what it is multiplied by",
            )
        if not fit.apart:
            yield self._of_value(reading, fit.factor)
        worst = max(own, key=lambda name: float((own[name] - fit.factor * through[name]).norm()), default="")
        yield (
            f"weights, samples and the {reading.loss.name} loss, by which the first batch's gradient is off by "
            f"{self.misfit(reading):.1%}, most in {worst!r}",
            f"{self._loss_hint()}, View(training_set=...) with inputs and labels as they are after the training "
            "step's own changes, slope=..., output_scale=...",
        )

    def misfit(self, reading: Reading) -> float:
        """How far the training's gradient is from the reading's, beside its own size."""
        own, through = both(reading, self.seen)
        factor = compare(reading, self.seen, self.accuracy.share).factor
        apart, size = (_flat(own, own) - factor * _flat(own, through)).norm(), _flat(own, own).norm()
        return float(apart / size) if size else 1.0

    def _of_value(self, reading: Reading, factor: float) -> tuple[str, str]:
        value = f"{(self.seen.loss or 0.0) / factor:.4g}" if factor > 0 else f"{self.seen.loss:.4g}"
        received = f"the {reading.loss.name} loss, {reading.value:.4g} on the first batch, whose own is {value}"
        return received, self._loss_hint()

    def _loss_hint(self) -> str:
        held = [type(part) for part in self.module.modules() if isinstance(part, nn.modules.loss._Loss)]
        known = [KNOWN_LOSSES[kind] for kind in held if kind in KNOWN_LOSSES]
        if known:
            return f"View(loss={known[0]!r})"
        name = f" of {held[0].__name__}" if held else ""
        return f"View(loss=a function of (h, y) that gives the loss{name} of each sample)"

    def _other_losses(self, reading: Reading) -> Iterator[str]:
        for name in LOSSES:
            if name != reading.loss.name and self._holds(self._read(reading, loss=as_loss(name))):
                yield name

    def _scaled(self, reading: Reading, scale: float) -> Reading | None:
        return self._read(reading, replace(reading.shown, output_scale=scale)) if scale > 0 else None

    def _scales(self, reading: Reading) -> Iterator[float]:
        """Factors of the output that may be meant: those of common parametrisations, and of the square loss that
        which the gradient says, since r = y - c h is linear in both."""
        if self.forward_agrees:
            return
        m, d = reading.shown.neurons.w.shape
        solved = self._solved_scale(reading) if reading.loss.is_square else None
        given = reading.shown.output_scale
        yield from (
            c for c in (solved, 1 / m, m**-0.5, (2 / m) ** 0.5, d**-0.5, (m * d) ** -0.5, 1.0) if c and c != given
        )
        fit = compare(reading, self.seen, self.accuracy.share)
        if self.seen.loss and fit.factor > 0:  # while the output is small: by the gradient, not by the loss
            yield given * fit.factor * reading.value / self.seen.loss

    def _solved_scale(self, reading: Reading) -> float | None:
        """c, where the gradient is that of (y - c h)^2: a multiple of that of y h minus c times that of h^2 / 2."""
        at_zero = self._read(reading, loss=_Target())
        own, _ = both(reading, self.seen)
        if at_zero is None:
            return None
        full, target = (_flat(own, r.gradient) for r in (reading, at_zero))
        outputs = full - target  # of h^2 / 2, times the given scale
        solution = torch.linalg.lstsq(torch.stack([target, outputs], dim=1), _flat(own, own)[:, None]).solution
        alpha, beta = solution.flatten().tolist()
        return reading.shown.output_scale * beta / alpha if alpha * beta > 0 else None


class _Target(Loss):
    """l = -y h, whose residual is the label."""

    name = "label"

    def value(self, h: Tensor, y: Tensor) -> Tensor:
        return -h * y

    def residual(self, h: Tensor, y: Tensor) -> Tensor:
        return y

    def curvature(self, h: Tensor, y: Tensor) -> Tensor:
        return torch.zeros_like(y)


def regulariser(reading: Reading, seen: FirstBatch, accuracy: Accuracy) -> str | None:
    """In one line the term in the weights that the training's loss has beside the stated one: a multiple of the sum
    of all squares or sizes, of all parameters or of the matrices alone. None where that is not what differs."""
    own, through = both(reading, seen)
    target, stated = _flat(own, own), _flat(own, through)
    for power, word in ((2, "squares"), (1, "sizes")):
        for matrices in (False, True):
            parts = {
                name: value.detach().to("cpu", torch.float64) * float(value.ndim >= 2 or not matrices)
                for name, value in seen.shown.parameters.items()
                if name in own
            }
            slopes = parts if power == 2 else {name: value.sign() for name, value in parts.items()}
            columns = torch.stack([stated, _flat(own, slopes)], dim=1)
            if len(target) < 4 or not bool(columns.any(dim=0).all()):
                continue
            factor, strength = torch.linalg.lstsq(columns, target[:, None]).solution.flatten().tolist()
            error = float((target - columns @ torch.tensor([factor, strength], dtype=torch.float64)).norm())
            if factor <= 0 or strength <= 0 or error > accuracy.share * float(target.norm()):
                continue
            term = strength * sum(float(value.abs().pow(power).sum()) for value in parts.values()) / power
            loss = seen.loss
            if loss is None or abs(factor * reading.value + term - loss) <= 10 * accuracy.share * abs(loss):
                what = "matrices" if matrices else "weights"
                each = strength / power
                return (
                    f"the training's loss has a term beside the stated one, {each:.3g} times the {word} of the {what}"
                )
    return None


def _flat(like: Mapping[str, Tensor], slopes: Mapping[str, Tensor]) -> Tensor:
    """The slopes of these names as one vector, zero where there is none."""
    return torch.cat([slopes.get(name, torch.zeros_like(part)).flatten() for name, part in like.items()])


def _ratios(own: dict[str, Tensor], through: dict[str, Tensor], share: float) -> dict[str, float] | None:
    """By how much the training's gradient is larger in each parameter; None where it has another direction in one."""
    ratios = {}
    for name, slope in through.items():
        square = float(slope.square().sum())
        ratio = float((own[name] * slope).sum()) / square if square else 0.0
        if ratio <= 0 or float((own[name] - ratio * slope).norm()) > share * ratio * square**0.5:
            return None
        ratios[name] = ratio
    return ratios
