"""What is known before training to spoil it, and after a divergence of its cause."""

from __future__ import annotations

import math

import torch

from gfflow.config import RunConfig
from gfflow.errors import InvalidInput
from gfflow.measures import Snapshot, least_loss, least_sharpness, sharpness
from gfflow.model.data import TrainingSet
from gfflow.model.neurons import Neurons
from gfflow.statements.case import BALANCED
from gfflow.theory import Prediction
from gfflow.theory.prediction import INTEGRATED
from gfflow.training.module import GradientFlowModule


def why_diverged(module: GradientFlowModule, start: Neurons) -> str:
    """One line: when, from what, and the likely cause."""
    last = module.last_finite or Snapshot(start, module.training_set)
    line = (
        f"training diverged between iterations {last.iteration:,} and {module.iteration:,}, from loss "
        f"{last.loss:.3g} and 1/2||theta||^2 = {last.neurons.half_norm_squared:.3g}"
    )
    bound = _largest_stable_step(sharpness(last))
    if module.solver.lr > bound:
        return (
            f"{line}: solver.lr = {module.solver.lr:g} is above 2/sharpness = {bound:.3g} there; take a smaller one"
        )
    return f"{line}: solver.lr = {module.solver.lr:g} is likely too large for this data (2/sharpness was {bound:.3g})"


def check_numbers(config: RunConfig, training_set: TrainingSet, start: Neurons) -> None:
    """Raises InvalidInput where the precision cannot hold the samples or the step, or the loss, the gradient or the
    weights squared are not finite from the start."""
    limits = torch.finfo(getattr(torch, config.precision))
    snapshot = Snapshot(start, training_set)
    gradient = snapshot.gradient_norm
    if not math.isfinite(snapshot.loss + start.half_norm_squared + gradient * gradient):
        raise InvalidInput("init.scale", config.init.scale, "a scale at which loss and gradient are finite numbers")
    if config.precision == "float64":
        return
    inputs, labels = training_set.x.abs().amax(dim=1), training_set.y[training_set.y != 0].abs()
    sizes = torch.cat([inputs, labels, torch.tensor([math.sqrt(start.half_norm_squared), gradient])])
    if float(sizes.max()) ** 2 > limits.max:
        allowed = f"float64, for numbers of size {float(sizes.max()):.1e} and their squares"
        raise InvalidInput("precision", config.precision, allowed)
    if float(inputs.min()) ** 2 < limits.tiny or (len(labels) and float(labels.min()) < limits.tiny):
        smallest = float(torch.cat([inputs, labels]).min())
        raise InvalidInput("precision", config.precision, f"float64, for samples of size {smallest:.1e}")
    if not limits.tiny <= config.solver.lr <= limits.max:
        allowed = f"a number between {limits.tiny:.1e} and {limits.max:.1e} with precision={config.precision}"
        raise InvalidInput("solver.lr", config.solver.lr, allowed)


def cautions(config: RunConfig, training_set: TrainingSet, start: Neurons, prediction: Prediction) -> list[str]:
    """What is known before training to spoil it."""
    notes = _cannot_fit(training_set)
    network = config.network
    if network.activation == "relu" and network.slope != type(network)().slope:
        notes.append(f"network.slope = {network.slope:g} says nothing without network.activation=leaky_relu")
    if config.precision == "float32" and prediction.scale**2 < torch.finfo(torch.float32).tiny:
        notes.append(
            f"precision float32 cannot hold the squares of weights of size {prediction.scale:.1e}; take float64"
        )
    if config.solver.chosen().is_descent:
        notes += _unstable(config.solver.lr, training_set, start, prediction)
    return notes + _too_short(config, training_set, start, prediction)


def _cannot_fit(training_set: TrainingSet) -> list[str]:
    """Whether labels of samples on one line through zero contradict each other, so that no network fits them all."""
    least = least_loss(training_set)
    if least == 0:
        return []
    same = "equal" if _equal_inputs_differ(training_set) else "parallel"
    why = "" if same == "equal" else ", on which a network without biases is homogeneous"
    return [
        f"no network fits these labels: {same} inputs have labels that contradict each other{why}; "
        f"the least possible loss is {least:.6g}"
    ]


def _equal_inputs_differ(training_set: TrainingSet) -> bool:
    labels: dict[bytes, float] = {}
    rows = zip(training_set.x.numpy(), training_set.y.tolist(), strict=True)
    return any(labels.setdefault((x + 0.0).tobytes(), y) != y for x, y in rows)


def beyond_the_paper(training_set: TrainingSet, start: Neurons) -> list[str]:
    """What of the theory does not carry over to another loss, another activation, or a frozen layer."""
    notes = []
    if not training_set.loss.is_square and training_set.loss.code is not None:
        notes.append(
            f"loss={training_set.loss.name}: the early phase and the course are predicted; a limit, saddles and the "
            "staircase are not: where a network separates the labels, its weights grow for ever, like sqrt(ln t)"
        )
    if start.activation.slope != 0:
        notes.append(
            "leaky ReLU: a closed gate still pulls, so Lemma 6 does not hold and orthogonal data has no closed form"
        )
    if start.frozen is not None:
        notes.append(
            f"network.frozen={start.frozen}: balance (Lemma 1), and what rests on it, does not hold; no prediction"
        )
    return notes


def conserved_signs(start: Neurons) -> list[str]:
    """What Lemma 1, a_j^2 - ||w_j||^2 constant, says of a start that is not balanced: where it is not negative a_j
    cannot pass zero, so that its sign is kept; where it is negative w_j cannot vanish, and a_j may change sign."""
    ratio = start.a.abs() / start.norms
    if bool(((ratio - 1).abs() <= BALANCED).all()):
        return []
    kept, m = int((ratio >= 1 - BALANCED).sum()), len(start.a)
    if kept == m:
        return ["not balanced, |a_j| >= ||w_j||: the flow keeps the sign of every a_j (Lemma 1)"]
    return [
        f"not balanced: the flow keeps the sign of the {kept} of {m} a_j with |a_j| >= ||w_j|| (Lemma 1); "
        "others may change theirs, and groups are those of the signs at the start"
    ]


def _unstable(lr: float, training_set: TrainingSet, start: Neurons, prediction: Prediction) -> list[str]:
    """Whether the step is above 2/sharpness at the start or where training should end."""
    found = {"at any network that fits these labels": least_sharpness(training_set)}
    if prediction.limit is not None:
        found = {"at the predicted limit": sharpness(Snapshot(prediction.limit, training_set))}
    most = 2 * start.half_norm_squared * float(training_set.norms.square().mean())  # of any sharpness at the start
    if lr * most > 2:
        found["at the start"] = sharpness(Snapshot(start, training_set))
    place = max(found, key=lambda name: found[name])
    bound = _largest_stable_step(found[place])
    return [f"solver.lr = {lr:g} is above 2/sharpness = {bound:.3g} {place}: it is unstable"] if lr > bound else []


def _too_short(config: RunConfig, training_set: TrainingSet, start: Neurons, prediction: Prediction) -> list[str]:
    """Whether the iterations end before the labels can be fitted.

    Where nothing is predicted, by a bound: along the flow ||D_j|| <= sqrt(2 L) (mean ||x_k||^2)^(1/2), L only falls,
    and |h(x_k)| <= ||x_k|| sum_j |a_j| ||w_j||, which grows at most at twice that rate.
    """
    iterations, lr = config.solver.iterations, config.solver.lr
    line = f"solver.iterations = {iterations:,}"
    events = prediction.events

    def latest(event: str) -> float:
        times = (events[f"{side}_{event}"] for side in ("plus", "minus"))
        return max((time / lr for time in times if time is not None), default=0.0)

    left, fitted = latest("leaves_zero"), latest("fitted")
    if left > iterations:
        both = events["plus_fitted"] is not None and events["minus_fitted"] is not None
        place = "the saddle" if both else "zero"
        return [f"{line} end before {place} is left, predicted at iteration {left:,.0f}; fitted at {fitted:,.0f}"]
    if fitted > iterations:
        return [f"{line} end before all labels are fitted, predicted at iteration {fitted:,.0f}"]
    reach = float(training_set.norms.max()) * start.half_norm_squared
    goal = float(training_set.y.abs().max()) / 100
    if fitted == 0 and 0 < reach < goal and start.frozen is None:
        if training_set.loss.is_square:
            rate = math.sqrt(2 * Snapshot(start, training_set).loss * float(training_set.norms.square().mean()))
        else:  # while |h| is below the goal, r is at most e^|h| times what it is at 0
            rate = math.exp(goal) * training_set.field_scale
        least = math.log(goal / reach) / (2 * rate * lr)
        if least > iterations:
            return [f"{line} end while the network is still near zero, which it cannot leave before {least:,.0f}"]
    return _nothing_foretold(line, training_set, prediction)


def _nothing_foretold(line: str, training_set: TrainingSet, prediction: Prediction) -> list[str]:
    """Where the forecast has no event to tell: it looks no further than a little beyond the run, and without a next
    level of the loss none of its times is defined."""
    untold = prediction.source == INTEGRATED and len(prediction.levels) == 1 and training_set.loss_at_zero > 0
    if not untold:
        return []
    return [f"{line} end before the forecast comes to a saddle or to rest: it has loss and masses, but no event"]


def _largest_stable_step(sharpness: float) -> float:
    """2/sharpness; finite for a network without curvature too."""
    return 2 / max(sharpness, 1e-300)
