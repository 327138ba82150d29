"""Measurements: pure functions of neurons and training set."""

from gfflow.measures.alignment import cosines_with, own_cosines
from gfflow.measures.events import crossing, mass_crossing
from gfflow.measures.invariants import balance, balance_drift, reactivations
from gfflow.measures.masses import largest_norm, mass
from gfflow.measures.snapshot import Snapshot

__all__ = [
    "Snapshot",
    "balance",
    "balance_drift",
    "cosines_with",
    "crossing",
    "largest_norm",
    "mass",
    "mass_crossing",
    "own_cosines",
    "reactivations",
]
