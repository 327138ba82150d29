"""Rest: whether any neuron still moves, and at what kind of point it has come to rest."""

from __future__ import annotations

import torch
from torch import Tensor

from gfflow.measures.critical_points import CriticalPoint, critical_point_near
from gfflow.model.snapshot import Snapshot

HEAVY = 1e-2  # of the largest norm, from which on a neuron counts as one of those that make the function
FITTED = 1e-15  # of the loss of the zero network, up to which the labels are fitted to rounding: no spurious point
NEARLY = 1e-3  # share of the fields from which on the heavy neurons are near a critical point


def field_share(snapshot: Snapshot, heavy: bool = False) -> float:
    """max_j ||D_j||, over all neurons or the heavy ones, against (1/n) sum_k |r_k| ||x_k||, the most that residuals
    of these sizes allow: between 0 and 1. Raises ZeroDivisionError where the loss is zero."""
    norms = snapshot.neurons.norms
    counted = norms >= HEAVY * norms.max() if heavy else torch.ones_like(norms, dtype=torch.bool)
    return float(snapshot.field_norms[counted].max()) / snapshot.largest_field


def resting(snapshot: Snapshot, tolerance: float = 1e-12) -> Tensor:
    """Whether the loss is positive and every D_j is zero to the tolerance, shape (...): then no neuron moves, however
    small it is.

    Near a saddle with small neurons this does not hold, since D_j, unlike the gradient, does not shrink with them.
    Where the labels are being fitted it does not either: D_j is then measured against small residuals.
    """
    return (snapshot.losses > 0) & (snapshot.field_norms.amax(dim=-1) / snapshot.largest_fields <= tolerance)


def at_rest(snapshot: Snapshot, tolerance: float = 1e-12) -> bool:
    """`resting` of the one network."""
    return bool(resting(snapshot, tolerance))


def resting_point(snapshot: Snapshot, tolerance: float = 1e-12) -> CriticalPoint | None:
    """The critical point at which a network of positive loss is at rest, or next to which its heavy neurons linger;
    None where they are on their way, or the labels are fitted to rounding. At rest every neuron stays as it is, next
    to a saddle small ones become zero."""
    data = snapshot.training_set
    if snapshot.loss <= FITTED * float(data.loss.value(torch.zeros_like(data.y), data.y).mean()):
        return None
    if snapshot.loss == 0 or field_share(snapshot, heavy=True) > NEARLY:
        return None
    return critical_point_near(snapshot, cutoffs=0 if at_rest(snapshot, tolerance) else 6)
