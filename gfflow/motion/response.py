"""What the network makes of its neurons: the residual, how fast it changes, and how it relaxes.

Neurons of one group have the same active samples, so that they act as their sums: sum_j a_j w_j for the outputs,
sum_j a_j^2 and sum_j w_j w_j^T for the neural tangent kernel. A group costs what one neuron costs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gfflow.motion.gates import OFF, ON, compiled, dot, forces, project
from gfflow.motion.groups import regroup

NEGLIGIBLE = 1e-12  # of the largest mass, below which a neuron is left out of the relaxation
BLOCK = 128  # rows of factors of the relaxation that are multiplied at a time


class Sums(NamedTuple):
    """Room for a group's sums."""

    active: Any  # (n,) int64, the active samples
    vector: Any  # (Q,)
    matrix: Any  # (Q, Q)
    block: Any  # (BLOCK, n)


def new_sums(n: int, q: int) -> Sums:
    """Room for the sums of a group on n samples in Q coordinates."""
    return Sums(np.zeros(n, np.int64), np.zeros(q), np.zeros((q, q)), np.zeros((BLOCK, n)))


@compiled
def active_samples(gates, states, active):  # type: ignore[no-untyped-def]
    """Lists the samples that are active with the gate states, and returns their number."""
    count = 0
    for k in range(gates.gate.size):
        if states[gates.gate[k]] == (ON if gates.side[k] > 0 else OFF):
            active[count] = k
            count += 1
    return count


@compiled
def residual(gates, state, y, groups, sums, r):  # type: ignore[no-untyped-def]
    """r_k = y_k - sum_j a_j relu(<w_j, x_k>) into r (n,); returns max_k sum_j |a_j| relu(<w_j, x_k>), which bounds what
    its rounding is relative to."""
    r[:] = y
    count = regroup(groups, state.key)
    vector, largest = sums.vector, 0.0
    for i in range(count):
        vector[:] = 0.0
        lead, size = groups.order[groups.first[i]], 0.0
        for place in range(groups.first[i], groups.first[i + 1]):
            j = groups.order[place]
            share = np.exp(2.0 * state.rho[j])
            if share > 0.0:
                share *= state.a[j]
                size += abs(share)
                for q in range(vector.size):
                    vector[q] += share * state.v[j, q]
        if size == 0.0:
            continue
        for o in range(active_samples(gates, state.gate[lead], sums.active)):
            k = sums.active[o]
            output = dot(gates.inputs[k], vector)
            r[k] -= output
            largest += abs(output)
    return largest


@compiled
def slope(gates, state, r, groups, sums, room, dr):  # type: ignore[no-untyped-def]
    """dr/dt along the flow into dr (n,), with the gates as they are (those that slide slide)."""
    f, vector = room.group, sums.vector
    forces(gates, r / r.size, room.force, room.base)
    dr[:] = 0.0
    count = regroup(groups, state.key)
    for i in range(count):
        lead = groups.order[groups.first[i]]
        f.state[:] = state.gate[lead]
        size, known = 0.0, False
        vector[:] = 0.0
        for place in range(groups.first[i], groups.first[i + 1]):
            j = groups.order[place]
            share = np.exp(2.0 * state.rho[j])
            if share == 0.0:
                continue
            if not known:
                project(gates, f, room.force, room.base)
                known = True
            size += share * state.a[j] * state.a[j]
            turn = share * dot(f.d, state.v[j])
            for q in range(vector.size):
                vector[q] += turn * state.v[j, q]
        if not known:
            continue
        for q in range(vector.size):
            vector[q] += size * f.d[q]
        for o in range(active_samples(gates, state.gate[lead], sums.active)):
            k = sums.active[o]
            dr[k] -= dot(gates.inputs[k], vector)


@compiled
def heaviest(state):  # type: ignore[no-untyped-def]
    """(max_j, sum_j) of ||theta_j||^2."""
    largest, total = 0.0, 0.0
    for j in range(state.rho.size):
        mass = np.exp(2.0 * state.rho[j]) * (state.a[j] ** 2 + dot(state.v[j], state.v[j]))
        largest = max(largest, mass)
        total += mass
    return largest, total


@compiled
def relaxation(gates, state, groups, sums, room, gram, kernel):  # type: ignore[no-untyped-def]
    """K (n, n) with dr/dt = -K r for the gates as they are: the neural tangent kernel over n, sliding included.

    For a group with the active samples X, the projection P off its gates at zero, A = sum_j a_j^2 and
    M = sum_j w_j w_j^T it is X (A P + M) X^T: the first part A (G - X B^T B X^T), the second by its factors, which are
    the neurons or, where there are more of them than dimensions, those of M. Groups below NEGLIGIBLE are left out.
    """
    n, f, block = gram.shape[0], room.group, sums.block
    kernel[:] = 0.0
    largest, _ = heaviest(state)
    least = NEGLIGIBLE * largest
    count = regroup(groups, state.key)
    rows, minus = 0, np.empty((BLOCK, n))
    taken = 0
    on, height = np.empty((BLOCK, n)), 0
    for i in range(count):
        members = groups.order[groups.first[i] : groups.first[i + 1]]
        f.state[:] = state.gate[members[0]]
        active = sums.active[: active_samples(gates, f.state, sums.active)]
        total = 0.0
        for j in members:
            total += np.exp(2.0 * state.rho[j]) * state.a[j] ** 2
        heavy = 0
        for j in members:
            heavy += np.exp(2.0 * state.rho[j]) > least
        if heavy == 0:
            continue
        project(gates, f, room.force, room.base)
        if height == BLOCK:
            kernel += np.dot(on.T, on) * gram
            height = 0
        on[height] = 0.0
        for k in active:
            on[height, k] = np.sqrt(total)
        height += 1
        for b in range(f.info[0]):
            if taken == BLOCK:
                kernel -= np.dot(minus.T, minus)
                taken = 0
            minus[taken] = 0.0
            for k in active:
                minus[taken, k] = np.sqrt(total) * dot(f.basis[b], gates.inputs[k])
            taken += 1
        factors = _factors(state, members, heavy, least, sums.matrix)
        for b in range(sums.matrix.shape[0] if factors else members.size):
            if factors:
                row, scale = sums.matrix[b], 1.0
            else:
                row, scale = state.v[members[b]], np.exp(state.rho[members[b]])
                if scale * scale <= least:
                    continue
            if rows == BLOCK:
                kernel += np.dot(block.T, block)
                rows = 0
            block[rows] = 0.0
            for k in active:
                block[rows, k] = scale * dot(row, gates.inputs[k])
            rows += 1
    kernel += np.dot(block[:rows].T, block[:rows]) - np.dot(minus[:taken].T, minus[:taken])
    kernel += np.dot(on[:height].T, on[:height]) * gram
    kernel /= n


@compiled
def _factors(state, members, heavy, least, matrix):  # type: ignore[no-untyped-def]
    """Where the heavy members are more than the dimensions: rows F (Q, Q) with F^T F = sum_j w_j w_j^T, by a Cholesky
    factorisation that leaves out what is rounding. False otherwise."""
    size = matrix.shape[0]
    if heavy <= size:
        return False
    matrix[:] = 0.0
    for j in members:
        mass = np.exp(2.0 * state.rho[j])
        if mass <= least:
            continue
        for p in range(size):
            for q in range(p, size):
                matrix[p, q] += mass * state.v[j, p] * state.v[j, q]
    trace = 0.0
    for p in range(size):
        trace += matrix[p, p]
    for p in range(size):
        for o in range(p):
            for q in range(p, size):
                matrix[p, q] -= matrix[o, p] * matrix[o, q]
        pivot = matrix[p, p]
        root = np.sqrt(pivot) if pivot > 1e-14 * trace else 0.0
        for q in range(p, size):
            matrix[p, q] = matrix[p, q] / root if root > 0.0 else 0.0
        matrix[p, :p] = 0.0
    return True
