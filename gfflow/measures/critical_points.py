"""Saddles on any data: the critical point of L next to a network on a plateau, found and certified."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gfflow.measures.clusters import clusters
from gfflow.measures.fits import least_loss
from gfflow.measures.held_gates import Along, Gates, classes, closed_in_rounding, held_on_gates
from gfflow.model.neurons import Neurons
from gfflow.model.snapshot import Snapshot
from gfflow.motion.field import Escape, escape, extremal_directions

Array = NDArray[np.float64]
ON_GATE = 1e-3  # cosine up to which a closed gate counts as just closed, and the neuron is put exactly on it
CRITICAL = 1e-12  # size of a gradient, relative to what residuals and weights allow, that is rounding
OPEN = (
    1e-15  # of <w_j, x_k> over ||x_k|| max_l ||x_l||, above which a gate counts as open after a solve: rounding only
)
AT_GATE = 1e-14  # of <w_j, x_k> over ||w_j|| ||x_k||: a neuron projected on a gate lies this near, a few roundings
TOGETHER = 1e-9  # of the difference of two unit inputs: below it they are parallel, and their gates open together
FLAT = 1e-12  # share of the largest eigenvalue, or singular value, below which one is rounding
GROWN = 1e-2  # share of the largest norm from which a neuron counts as grown
STILL = 1e-2  # share of the largest field, up to which a neuron counts as one of those that have come to rest
ROUNDED = 1e-14  # of a rate against field_scale: some roundings of the residuals, whose size is that of the labels
LEAST = 1e-9  # share by which a loss may lie above the least possible and still count as that
MOVED = 0.05  # share of the loss by which the critical point may differ from the plateau


@dataclass(frozen=True, eq=False)
class CriticalPoint:
    """A critical point of L, or the reason why none was found; what is not known is None."""

    kind: str  # 'strict saddle', 'local minimum' or 'not resolved'
    reason: str
    neurons: Neurons | None = None
    loss: float | None = None
    gradient_norm: float | None = None
    directions: int | None = None  # active ones: clusters of neurons that are not zero
    escape: Escape | None = None
    curvature: tuple[float, float] | None = None  # least non-zero and largest eigenvalue within the pattern


def critical_point_near(snapshot: Snapshot, cutoffs: int = 6) -> CriticalPoint:
    """The critical point nearest to the network in which some small neurons are zero and all gates as they are.

    Tries none of them zero, all of them, the `cutoffs` widest gaps between the neurons' sizes, and those on
    which a field pulls: neurons that shrink next to a saddle may still be large. What remains is solved exactly: with
    a and the gates fixed, L is quadratic in w. Criticality is in the sense relu'(0) = 0.
    """
    now = snapshot.neurons
    if not (snapshot.training_set.loss.is_square and now.activation.is_relu and now.frozen is None):
        why = "it is looked for with the square loss and the ReLU alone, where both layers are trained"
        return CriticalPoint("not resolved", why)
    if snapshot.loss == 0:
        return CriticalPoint("not resolved", "the loss is zero")
    norms = now.norms.numpy()
    found, counts = [], _active_counts(norms, cutoffs)
    chosen = [np.isin(np.arange(len(norms)), np.argsort(-norms)[:count]) for count in counts]
    still = ((snapshot.field_norms <= STILL * snapshot.largest_field) & snapshot.gates.any(dim=1)).numpy()
    for active in [*chosen, still] if cutoffs else chosen:
        neurons = _solved(snapshot, active) or _solved_on_gates(snapshot, active)
        if neurons is None:
            continue
        loss = Snapshot(neurons, snapshot.training_set).loss
        if abs(loss - snapshot.loss) <= MOVED * snapshot.loss:
            found.append(neurons)
    if not found:
        return CriticalPoint("not resolved", _why_none(snapshot, counts))
    return certify(min(found, key=snapshot.neurons.distance), snapshot)


def certify(neurons: Neurons, snapshot: Snapshot) -> CriticalPoint:
    """What kind of critical point the neurons are, on the snapshot's training set."""
    data = snapshot.training_set
    point = Snapshot(neurons, data)
    x, r = data.x.numpy(), point.residuals.numpy()
    active = neurons.norms > 0
    out = escape(x, r)
    size = float(np.abs(r) @ np.linalg.norm(x, axis=1)) / data.n
    rounding = CRITICAL * size + ROUNDED * data.field_scale  # of a rate: below it there is none
    pushed, all_tried = _opening_gates(point, rounding)
    if point.gradient_norm > CRITICAL * size * max(1.0, float(neurons.norms.norm())):
        kind, reason = "not resolved", f"its gradient, {point.gradient_norm:.1e}, is not zero to rounding"
    elif out.rate > rounding and not bool(active.all()):
        kind, reason = "strict saddle", "a zero neuron leaves it along the escape direction"
    elif pushed:
        kind, reason = (
            "strict saddle",
            f"{pushed} gates at exactly zero would lower the loss by opening; with relu'(0) = 0 they stay closed",
        )
    elif not all_tried or not (out.exact or (bool(active.all()) and out.rate > rounding)):
        kind, reason = "not resolved", "no escaping direction was found, but not all directions were tried"
    elif out.rate > rounding:
        off = int((~point.gates.any(dim=1)).sum())
        still = f"{off} of {len(active)} neurons are off on every sample" if off else "no neuron is zero"
        kind, reason = "local minimum", f"{still}; one more would leave it, at the rate {out.rate:.3g}"
    else:
        least = out.exact and point.loss <= least_loss(data) * (1 + LEAST)
        most = "; no network has less loss on this data" if least else ""
        kind, reason = "local minimum", f"no neuron can leave zero, and no gate lowers the loss by opening{most}"
    return CriticalPoint(
        kind=kind,
        reason=reason,
        neurons=neurons,
        loss=point.loss,
        gradient_norm=point.gradient_norm,
        directions=len(clusters(neurons)) if bool(active.any()) else 0,
        escape=out,
        curvature=_curvature(point),
    )


def _active_counts(norms: Array, cutoffs: int) -> list[int]:
    """How many of the largest neurons to keep: none, all, and the cuts at the widest gaps between log-norms."""
    logs = np.log(np.sort(norms[norms > 0])[::-1])
    gaps = np.argsort(logs[1:] - logs[:-1])[:cutoffs] + 1  # the most negative differences first
    return [0, *sorted(int(gap) for gap in gaps), len(logs)]


def _solved(snapshot: Snapshot, active: Gates) -> Neurons | None:
    """The neurons, the inactive ones zero, moved as little as possible to where every D_j of an active one is zero;
    None where the gates would have to change.

    Neurons next to a closed gate are put on it and kept there, unless they are then not at rest; those that would
    cross a gate stay as they are, and the others of the same gates make up for them.
    """
    x, y = snapshot.training_set.x.numpy(), snapshot.training_set.y.numpy()
    w, a = snapshot.neurons.w.numpy().copy(), snapshot.neurons.a.numpy().copy()
    gates = snapshot.gates.numpy() & active[:, None]
    w[~active], a[~active] = 0.0, 0.0
    lengths = np.linalg.norm(x, axis=1)
    sizes = np.linalg.norm(w, axis=1)
    cosines = w @ x.T / np.where(sizes > 0, sizes, 1.0)[:, None] / lengths  # 0 too where the square of w underflows
    moving: Gates = np.asarray(gates.any(axis=1))  # a neuron that is off on every sample is at rest as it is
    kept = ~gates & (cosines > -ON_GATE) & moving[:, None]
    frozen = np.zeros(len(a), dtype=bool)
    # Every round but the last freezes a neuron that would cross a gate, or frees one from the gates that it was kept
    # on, and each neuron is frozen and freed at most once.
    for _ in range(2 * int(moving.sum()) + 1):
        along = Along(x, kept)
        moved = _least_squares(
            x, y, np.where(moving[:, None], along.project(w), w), a, gates, along, moving & ~frozen
        )
        r = y - np.maximum(moved @ x.T, 0).T @ a
        crossed = ((moved @ x.T / lengths > OPEN * lengths.max()) != gates).any(axis=1) & moving & ~frozen
        if crossed.any():
            frozen |= crossed
            continue
        pulled = _pulled(x, r, gates) & moving
        if not pulled.any():
            return _balanced(moved, a, x, gates)
        if (along.dimensions[pulled] == x.shape[1]).all():
            return None
        kept[pulled] = False
    return None


def _solved_on_gates(snapshot: Snapshot, active: Gates) -> Neurons | None:
    """The same where many neurons lie on many gates: these are held, and those that would be crossed; None where no
    such point was found, or where it is not at rest with its held gates closed."""
    x, y = snapshot.training_set.x.numpy(), snapshot.training_set.y.numpy()
    w, a = snapshot.neurons.w.numpy() * active[:, None], snapshot.neurons.a.numpy() * active
    gates = snapshot.gates.numpy() & active[:, None]
    moving: Gates = np.asarray(gates.any(axis=1))
    lengths = snapshot.neurons.norms.numpy()[:, None] * np.linalg.norm(x, axis=1)
    held = ~gates & moving[:, None] & (snapshot.preactivations.numpy() > -ON_GATE * lengths)
    found = held_on_gates(x, y, w, a, gates, held) if bool(moving.any()) else None
    if found is None:
        return None
    moved, gates = found
    r = y - (gates * (moved @ x.T)).T @ a
    if (_pulled(x, r, gates) & moving).any():
        return None
    return _balanced(moved, a, x, gates)


def _why_none(snapshot: Snapshot, counts: list[int]) -> str:
    """What stood in the way, in numbers: gates on which neurons slide, and fields that are not yet small."""
    tried = ", ".join(map(str, counts))
    none = f"no critical point with the network's gates has a loss within {MOVED:.0%} of {snapshot.loss:.4g}"
    grown = snapshot.neurons.norms > GROWN * snapshot.neurons.norms.max()
    lengths = snapshot.neurons.norms[:, None] * snapshot.training_set.norms
    sliding = int(((snapshot.preactivations.abs() <= ON_GATE * lengths) & grown[:, None]).sum())
    fields = float(snapshot.field_norms[grown].max()) / snapshot.largest_field
    return (
        f"{none}; tried with {tried} neurons other than zero. Of the {int(grown.sum())} neurons that have grown, "
        f"{sliding} pairs with a sample lie on a gate, and fields reach {fields:.1%} of what the residuals allow"
    )


def _least_squares(x: Array, y: Array, w: Array, a: Array, gates: Gates, along: Along, free: Gates) -> Array:
    """The w nearest to the given ones that minimise L with a and the gates fixed, each free w_j along its gates.

    Neurons of the same gates, kept on the same ones, have the same columns up to a_j: all of them are one, whose
    square is the sum of their squares, and move by their shares.
    """
    r = y - (gates * (w @ x.T)).T @ a
    (free_ones,) = np.nonzero(free & (a != 0))
    if not len(free_ones):
        return w
    first, of = classes(np.hstack([gates, along.kept])[free_ones])
    scales = np.sqrt(np.bincount(of, a[free_ones] ** 2))
    leads = free_ones[first]
    bases = [along.basis(j) for j in leads]
    columns = [scale * gates[j][:, None] * (x @ basis) for j, scale, basis in zip(leads, scales, bases, strict=True)]
    change = np.linalg.lstsq(np.hstack(columns), r, rcond=FLAT)[0]
    ends = np.cumsum([basis.shape[1] for basis in bases])
    steps = [basis @ part for basis, part in zip(bases, np.split(change, ends[:-1]), strict=True)]
    moved = w.copy()
    moved[free_ones] += (a[free_ones] / scales[of])[:, None] * np.array(steps)[of]
    return moved


def _pulled(x: Array, r: Array, gates: Gates) -> Gates:
    """Which neurons have a field D_j that is not zero to rounding, (m,)."""
    size = float(np.abs(r) @ np.linalg.norm(x, axis=1))
    pulled: Gates = np.linalg.norm((gates * r) @ x, axis=1) > CRITICAL * size
    return pulled


def _balanced(w: Array, a: Array, x: Array, gates: Gates) -> Neurons:
    """The same function with |a_j| = ||w_j||, and closed gates at <w_j, x_k> <= 0 in floating point too."""
    norms = np.linalg.norm(w, axis=1)
    scale = np.sqrt(np.abs(a) / np.where(norms > 0, norms, 1.0))
    inverse = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1.0), 0.0)
    w = closed_in_rounding(w * scale[:, None], x, gates)
    return Neurons(torch.from_numpy(w), torch.from_numpy(a * inverse))


def _opening_gates(point: Snapshot, rounding: float) -> tuple[int, bool]:
    """How many gates at exactly zero would lower the loss to first order by opening, and whether all ways in which
    they can open were tried.

    Moved by v, neuron j, whose D_j is zero, changes L by -(a_j/n) sum_k r_k relu(<v, x_k>) over its gates at zero:
    the gates of parallel inputs open together, and any others of a dependent set not in all combinations.
    """
    data = point.training_set
    x, r = data.x.numpy(), point.residuals.numpy()
    lengths = point.neurons.norms[:, None] * data.norms
    at_zero = ((point.preactivations.abs() <= AT_GATE * lengths) & (lengths > 0)).numpy()
    cases: dict[bytes, tuple[int, bool]] = {}  # many neurons lie on the same gates
    count, all_tried = 0, True
    for j in np.flatnonzero(at_zero.any(axis=1)):
        on, sign = at_zero[j], float(point.neurons.signs[j])
        key = bytes(on) + bytes([sign > 0])
        if key not in cases:
            cases[key] = _lowering(x[on], sign * r[on] / data.n, rounding)
        count, all_tried = count + cases[key][0], all_tried and cases[key][1]
    return count, all_tried


def _lowering(x: Array, pulls: Array, rounding: float) -> tuple[int, bool]:
    """How many of the gates x (k, d) can lower the loss by opening, with sum_k pulls_k relu(<v, x_k>) > 0 for some v
    and pulls (k,) in it, and whether all v were tried."""
    sizes = np.linalg.norm(x, axis=1)
    units, forces, counts = _merged(x / sizes[:, None], pulls * sizes)
    up = forces > rounding
    if not up.any():
        return 0, True
    if np.linalg.matrix_rank(units, tol=TOGETHER) == len(units):  # each can open alone
        return int(counts[up].sum()), True
    found = extremal_directions(units, forces * len(units))  # where the sum is largest on the sphere it is one
    if found is None:
        best = escape(units, forces * len(units))
        opens, tried = best.sign > 0 and best.rate > rounding, False
    else:
        opens, tried = any(way.sign > 0 and way.rate > rounding for way in found), True
    return (int(counts[up].sum()), True) if opens else (0, tried)


def _merged(units: Array, forces: Array) -> tuple[Array, Array, NDArray[np.int64]]:
    """The unit vectors without those that are parallel to an earlier one, to which their forces are added; and how
    many each stands for."""
    kept: list[int] = []
    total, counts = forces.copy(), np.ones(len(units), dtype=np.int64)
    for k, unit in enumerate(units):
        same = next((i for i in kept if np.linalg.norm(units[i] - unit) < TOGETHER), None)
        if same is None:
            kept.append(k)
        else:
            total[same] += forces[k]
            counts[same] += 1
    return units[kept], total[kept], counts[kept]


def _curvature(point: Snapshot) -> tuple[float, float] | None:
    """Least non-zero and largest eigenvalue of the Hessian of L in the active weights, all gates fixed.

    D_j = 0 at a critical point, so the Hessian is J^T J / n, J the derivative of the outputs: never negative; its
    non-zero eigenvalues are those of J J^T / n.
    """
    gates, x = point.gates.to(point.training_set.x.dtype), point.training_set.x
    weights = (gates * point.neurons.a.square()[:, None]).T @ gates
    active = point.preactivations.clamp(min=0)
    kernel = (weights * (x @ x.T) + active.T @ active) / point.training_set.n
    values = torch.linalg.eigvalsh(kernel)
    positive = values[values > FLAT * values.max()]
    return (float(positive.min()), float(positive.max())) if len(positive) else None
