"""Measurements: pure functions of neurons and training set."""

from gfflow.measures.alignment import cosines_with, own_cosines, own_cosines_by_neuron
from gfflow.measures.clusters import Clusters, clusters
from gfflow.measures.critical_points import CriticalPoint, certify, critical_point_near
from gfflow.measures.events import crossing, fall, loss_events, mass_crossing
from gfflow.measures.fits import least_loss, lines_of
from gfflow.measures.invariants import balance, balance_drift, reactivations
from gfflow.measures.kernel import kernel_interpolator, tangent_kernel
from gfflow.measures.kinks import kinks, kinks_on_line, line_interval
from gfflow.measures.masses import largest_norm, mass
from gfflow.measures.passing import passed_point, slowest
from gfflow.measures.plateaus import Plateau, plateaus
from gfflow.measures.principal import principal_components
from gfflow.measures.rest import at_rest, field_share, resting_point
from gfflow.measures.sharpness import least_sharpness, sharpness
from gfflow.model.snapshot import Snapshot

__all__ = [
    "Clusters",
    "CriticalPoint",
    "Plateau",
    "Snapshot",
    "at_rest",
    "balance",
    "balance_drift",
    "certify",
    "clusters",
    "cosines_with",
    "critical_point_near",
    "crossing",
    "fall",
    "field_share",
    "kernel_interpolator",
    "kinks",
    "kinks_on_line",
    "largest_norm",
    "least_loss",
    "least_sharpness",
    "line_interval",
    "lines_of",
    "loss_events",
    "mass",
    "mass_crossing",
    "own_cosines",
    "own_cosines_by_neuron",
    "passed_point",
    "plateaus",
    "principal_components",
    "reactivations",
    "resting_point",
    "sharpness",
    "slowest",
    "tangent_kernel",
]
