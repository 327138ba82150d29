"""Why a wider network would not have done better: what the early phase leaves of any small start."""

from __future__ import annotations

import numpy as np

from gfflow.model.snapshot import Snapshot
from gfflow.motion.field import extremal_directions
from gfflow.theory.baselines import least_squares_loss

DOMINATED = 1e-2  # share by which descent may take |a_j| below ||w_j||
CLOSE = 1e-6  # of the loss, relative, to that of least squares


def why_no_width_helps(snapshot: Snapshot) -> str | None:
    """One line where every neuron of any small start with |a_j| >= ||w_j|| goes to one of a few extremal directions,
    in all of which it is active on every sample, or shrinks: the network is then linear on the samples, whatever its
    width, and ends at their least squares. None where that is not so, cannot be listed, or is not how this network
    has ended."""
    data = snapshot.training_set
    if not snapshot.neurons.activation.is_relu or not data.loss.is_square:
        return None
    listed = extremal_directions(data.x.numpy(), data.y.numpy())
    if not bool((snapshot.neurons.a.abs() >= (1 - DOMINATED) * snapshot.neurons.norms).all()):
        return None  # Lemma 1: nor was it so at the start, and a_j may have changed their signs
    stable = [direction for direction in listed or [] if direction.stable]
    if not stable or not all(direction.gates.all() for direction in stable):
        return None
    least = least_squares_loss(data)
    if abs(snapshot.loss - least) > CLOSE * max(least, np.finfo(float).tiny):
        return None
    where = "the one stable extremal direction" if len(stable) == 1 else f"one of {len(stable)} stable directions"
    return (
        f"no width helps: from a small start with |a_j| >= ||w_j|| neurons go to {where}, active on every sample, or "
        f"shrink or rest; the network is then linear on the samples and ends at their least squares, {least:.6g}"
    )
