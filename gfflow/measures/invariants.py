"""What the flow keeps: balance (Lemma 1), and on orthogonal data closed gates (Lemma 6)."""

from __future__ import annotations

from torch import Tensor

from gfflow.model.neurons import Neurons


def balance(neurons: Neurons) -> Tensor:
    """a_j^2 - ||w_j||^2 (Lemma 1), shape (m,), written as a product so that equal sizes cancel exactly."""
    size = neurons.a.abs()
    return (size - neurons.norms) * (size + neurons.norms)


def balance_drift(neurons: Neurons, start: Neurons) -> float:
    """max_j |(a_j^2 - ||w_j||^2) - its value at the start|; zero along the flow, O(lr) along descent."""
    return float((balance(neurons) - balance(start)).abs().max())


def reactivations(gates_before: Tensor, gates: Tensor) -> int:
    """How many gates (boolean, (m, n)) were off before and are on now; none on orthogonal data (Lemma 6)."""
    return int((gates > gates_before).sum())
