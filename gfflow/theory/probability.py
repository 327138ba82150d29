"""How likely Assumption 3 is at a random start."""

from __future__ import annotations


def assumption_3_probability(width: int, n_plus: int, n_minus: int) -> float:
    """The probability that neither S+ nor S- is empty, for orthogonal inputs with n_plus positive and n_minus
    negative labels, and a network of the given width.

    For orthogonal inputs the n gates of a Gaussian neuron are independent and open with probability 1/2, and so is
    the sign of its output: the neuron is in S+ with probability p = 2^-(n_plus + 1), in S- with q = 2^-(n_minus + 1),
    and never in both. The neurons are independent, so that S+ is empty with probability (1 - p)^m, S- with (1 - q)^m
    and both with (1 - p - q)^m; the two events are not independent.
    """
    p, q = 0.5 ** (n_plus + 1), 0.5 ** (n_minus + 1)
    return 1 - (1 - p) ** width - (1 - q) ** width + (1 - p - q) ** width


def empty_cone_probabilities(width: int, n_plus: int, n_minus: int) -> dict[str, float]:
    """The probabilities that S+ is empty ('plus'), that S- is ('minus'), and that either is ('either'), in the
    setting of `assumption_3_probability`."""
    p, q = 0.5 ** (n_plus + 1), 0.5 ** (n_minus + 1)
    either = 1 - assumption_3_probability(width, n_plus, n_minus)
    return {"plus": (1 - p) ** width, "minus": (1 - q) ** width, "either": either}
