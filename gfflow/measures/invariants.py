"""What the flow keeps: balance (Lemma 1), and on orthogonal data closed gates (Lemma 6)."""

from __future__ import annotations

from torch import Tensor

from gfflow.model.neurons import Neurons


def balance(neurons: Neurons) -> Tensor:
    """a_j^2 - ||w_j||^2 (Lemma 1), shape (..., m), written as a product so that equal sizes cancel exactly."""
    size = neurons.a.abs()
    return (size - neurons.norms) * (size + neurons.norms)


def balance_drifts(neurons: Neurons, start: Neurons) -> Tensor:
    """max_j |(a_j^2 - ||w_j||^2) - its value at the start|, shape (...); zero along the flow, O(lr) along descent."""
    return (balance(neurons) - balance(start)).abs().amax(dim=-1)


def balance_drift(neurons: Neurons, start: Neurons) -> float:
    """The drift of the one network."""
    return float(balance_drifts(neurons, start))


def reactivations(gates_before: Tensor, gates: Tensor) -> Tensor:
    """How many gates (boolean, (..., m, n)) were off before and are on now, shape (...); none on orthogonal data
    (Lemma 6)."""
    return (gates > gates_before).sum(dim=(-2, -1))
