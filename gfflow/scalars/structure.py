"""How simple the network has become: kinks of its function, clusters of its neurons."""

from __future__ import annotations

from gfflow.measures.clusters import clusters
from gfflow.measures.kinks import kinks_on_line
from gfflow.measures.rank import nuclear_norm, stable_rank
from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Measure, Scalars, measure


@measure(
    "structure",
    [
        Scalars(("structure/clusters",), "how many directions carry 99% of the mass", "at a few iterations"),
        Scalars(
            ("structure/kinks",),
            "how many kinks h has between the inputs and a quarter of their extent beyond",
            "at a few iterations, inputs on a line with bias",
        ),
        Scalars(("structure/nuclear_norm",), "the sum of the singular values of W", "at a few iterations"),
        Scalars(("structure/stable_rank",), "||W||_F^2 / ||W||^2, 1 for parallel w_j", "at a few iterations"),
    ],
    switch="structure",
    few=True,
)
class Structure(Measure):
    """`structure/clusters`: how many directions carry 99% of the mass; `structure/kinks`: how many kinks h has around
    the data (measures.kinks_on_line), for inputs on a line with bias; `structure/nuclear_norm` and
    `structure/stable_rank` of W."""

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        neurons = snapshot.neurons
        scalars = {
            "structure/clusters": float(len(clusters(neurons))),
            "structure/nuclear_norm": nuclear_norm(neurons),
            "structure/stable_rank": stable_rank(neurons),
        }
        places = kinks_on_line(snapshot)
        if places is not None:
            scalars["structure/kinks"] = float(len(places))
        return scalars
