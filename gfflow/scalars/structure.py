"""How simple the network has become: kinks of its function, clusters of its neurons."""

from __future__ import annotations

from torch import Tensor

from gfflow.measures.clusters import cluster_counts
from gfflow.measures.kinks import kink_counts
from gfflow.measures.rank import nuclear_norms, stable_ranks
from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Scalars, TensorMeasure, measure


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
class Structure(TensorMeasure):
    """`structure/clusters`: how many directions carry 99% of the mass; `structure/kinks`: how many kinks h has around
    the data (measures.kink_counts), for inputs on a line with bias; `structure/nuclear_norm` and
    `structure/stable_rank` of W."""

    def values(self, snapshot: Snapshot) -> dict[str, Tensor | float]:
        neurons = snapshot.neurons
        scalars: dict[str, Tensor | float] = {
            "structure/clusters": cluster_counts(neurons),
            "structure/nuclear_norm": nuclear_norms(neurons),
            "structure/stable_rank": stable_ranks(neurons),
        }
        kinks = kink_counts(snapshot)
        return scalars if kinks is None else scalars | {"structure/kinks": kinks}
