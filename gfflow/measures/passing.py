"""The critical point that a network passes on a plateau of its loss: found next to it and certified."""

from __future__ import annotations

from collections.abc import Iterable

from gfflow.measures.critical_points import CriticalPoint, critical_point_near
from gfflow.measures.rest import resting_point
from gfflow.model.snapshot import Snapshot

REST = 1e-6  # relative size of the fields at which a frame counts as at rest: the flow's default tolerance


def slowest(snapshots: Iterable[Snapshot]) -> Snapshot:
    """The one with the least gradient. Raises ValueError where there is none."""
    return min(snapshots, key=lambda snapshot: snapshot.gradient_norm)


def passed_point(snapshot: Snapshot) -> CriticalPoint:
    """The critical point next to a snapshot of a plateau."""
    return resting_point(snapshot, REST) or critical_point_near(snapshot)
