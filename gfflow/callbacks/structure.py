"""How simple the network has become: kinks of its function, clusters of its neurons."""

from __future__ import annotations

from gfflow.callbacks.base import Measurement
from gfflow.measures.clusters import clusters
from gfflow.measures.kinks import kinks_on_line
from gfflow.measures.snapshot import Snapshot
from gfflow.schedule import Schedule


class Structure(Measurement):
    """`structure/clusters`: how many directions carry 99% of the mass; `structure/kinks`: how many kinks h has around
    the data, for inputs on a line with bias. At the given iterations alone, since they cost more than other measures.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.wanted = schedule

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        if snapshot.iteration not in self.wanted:
            return {}
        scalars = {"structure/clusters": float(len(clusters(snapshot.neurons)))}
        bends = kinks_on_line(snapshot)
        if bends is not None:
            scalars["structure/kinks"] = float(len(bends))
        return scalars
