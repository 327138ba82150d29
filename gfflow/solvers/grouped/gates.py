"""How far neurons are from their gates, and for how long they cannot reach one (compiled)."""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled
from gfflow.solvers.grouped.state import CHECKS, GATES, INPUT, NEAR, shortened


@compiled
def inverse_norm(theta):  # type: ignore[no-untyped-def]
    """1 / ||theta|| without squaring tiny numbers."""
    most = 0.0
    for i in range(theta.size):
        most = max(most, abs(theta[i]))
    square = 0.0
    for i in range(theta.size):
        square += (theta[i] / most) ** 2
    return 1 / (most * np.sqrt(square))


@compiled
def wait_of(distance, norm):  # type: ignore[no-untyped-def]
    """How much the clock may advance before a neuron of this norm can have moved by `distance`."""
    return np.log1p(distance / norm) if norm > 0 else 0.0


@shortened
def least_distance(lines, point):  # type: ignore[no-untyped-def]
    """min_k |<x_k / ||x_k||, w>| for the first d coordinates w of `point`; lines (d, n)."""
    d, n = lines.shape
    least = np.inf
    if d == 2:
        first, second = lines[0], lines[1]
        for k in range(n):
            least = min(least, abs(first[k] * point[0] + second[k] * point[1]))
        return least
    for k in range(n):
        z = 0.0
        for i in range(d):
            z += lines[i, k] * point[i]
        least = min(least, abs(z))
    return least


@shortened
def find_distances(sample, lines, theta, distance):  # type: ignore[no-untyped-def]
    """The distances from all gates, and the code of the open ones."""
    d, n = lines.shape[1:]
    code = np.uint64(0)
    zero = np.uint64(0)
    for k in range(n):
        distance[k] = lines[INPUT, 0, k] * theta[0]
    for i in range(1, d):
        for k in range(n):
            distance[k] += lines[INPUT, i, k] * theta[i]
    for k in range(n):
        code ^= zero if distance[k] <= 0 else sample[k].key
        distance[k] = abs(distance[k]) * sample[k].inverse_length
    return code


@shortened
def find_least(distance, near):  # type: ignore[no-untyped-def]
    """The least distance, the least of those above `near`, and how many are not."""
    least, other, close = np.inf, np.inf, 0.0
    for k in range(distance.size):
        v = distance[k]
        least = min(least, v)
        other = min(other, np.inf if v <= near else v)
        close += 1.0 if v <= near else 0.0
    return least, other, close


@compiled
def find_near(s, theta, page):  # type: ignore[no-untyped-def]
    """The near gates, at most GATES, put into s.near_gates; how many there are; the waits until the nearest gate and
    until the nearest of the others can be reached; the code. A gate of `page`, if there is one, is near for longer,
    so that no neuron goes to and fro."""
    n = s.sample.size
    norm = 1 / inverse_norm(theta)
    distance = s.distance
    code = find_distances(s.sample, s.lines, theta, distance)
    near = np.expm1(s.clock[NEAR]) * norm
    least, other, close = find_least(distance, 2 * near)
    count, known = 0, 0
    s.clock[CHECKS] += 100.0 + n * s.planes.shape[2]
    if close > 0:
        for k in range(n):
            v = distance[k]
            if v > 2 * near:
                continue
            listed = False
            if page >= 0:
                while known < s.pages[page].gates and s.page_gates[page, known] < k:
                    known += 1
                listed = known < s.pages[page].gates and s.page_gates[page, known] == k
            if listed or v <= near:
                if count < GATES:
                    s.near_gates[count] = k
                count += 1
            else:
                other = min(other, v)
    return count, wait_of(least, norm), wait_of(other, norm), code
