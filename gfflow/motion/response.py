"""What the network makes of its neurons: the residual, how fast it changes, and how it relaxes.

Neurons of one group have the same active samples, so that they act as their sums: sum_j a_j w_j for the outputs,
sum_j a_j^2 and sum_j w_j w_j^T for the neural tangent kernel. A group costs what one neuron costs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gfflow.compiled import compiled, lean
from gfflow.motion.gates import OFF, ON, copy, dot, forces, put
from gfflow.motion.groups import regroup
from gfflow.motion.span import span_zero
from gfflow.motion.state import group_field
from gfflow.motion.target import to_residual, to_slope

NEGLIGIBLE = 1e-12  # of the largest mass, below which a neuron is left out of the relaxation
BLOCK = 128  # rows of factors of the relaxation that are multiplied at a time


class Block(NamedTuple):
    """Rows <vector, x_k> for active samples k that are multiplied together."""

    vectors: Any  # (BLOCK, Q)
    masks: Any  # (BLOCK, n), 1 for an active sample, 0 for others
    rows: Any  # (BLOCK, n) float32: K is known to no more digits anyway (motion/flow/step.py)
    count: Any  # (1,) int64


class Sums(NamedTuple):
    """Room for a group's sums."""

    active: Any  # (n,) int64, the active samples
    mask: Any  # (n,), 1 for an active sample, 0 for others
    vector: Any  # (Q,)
    matrix: Any  # (Q, Q)
    plus: Block  # rows of factors of the relaxation
    minus: Block  # those that sliding takes away
    on: Any  # (BLOCK, n) float32, active samples of groups


def new_sums(n: int, q: int) -> Sums:
    """Room for the sums of a group on n samples in Q coordinates."""
    plus, minus = (
        Block(np.zeros((BLOCK, q)), np.zeros((BLOCK, n)), np.zeros((BLOCK, n), np.float32), np.zeros(1, np.int64))
        for _ in range(2)
    )
    on = np.zeros((BLOCK, n), np.float32)
    return Sums(np.zeros(n, np.int64), np.zeros(n), np.zeros(q), np.zeros((q, q)), plus, minus, on)


@lean
def active_samples(gates, states, active):  # type: ignore[no-untyped-def]
    """Lists the samples that are active with the gate states, and returns their number."""
    count = 0
    for k in range(gates.gate.size):
        if states[gates.gate[k]] == (ON if gates.side[k] > 0 else OFF):
            active[count] = k
            count += 1
    return count


@lean
def residual(gates, state, target, groups, sums, r):  # type: ignore[no-untyped-def]
    """r_k = y_k - sum_j a_j relu(<w_j, x_k>), or that of another loss (motion/target.py), into r (n,); returns
    max_k sum_j |a_j| relu(<w_j, x_k>), which bounds what its rounding is relative to."""
    if target.plain:
        copy(target.y, r)
    else:
        r[:] = 0.0
    count = regroup(groups, state.key)
    vector, largest = sums.vector, 0.0
    for i in range(count):
        vector[:] = 0.0
        lead, size = groups.order[groups.first[i]], 0.0
        active = active_samples(gates, state.gate[lead], sums.active)
        if active == 0:
            continue
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
        for o in range(active):
            k = sums.active[o]
            output = dot(gates.inputs[k], vector)
            r[k] -= output
            largest += abs(output)
    if not target.plain:
        to_residual(target, r)
    return largest


@lean
def slope(gates, state, target, r, groups, sums, room, dr):  # type: ignore[no-untyped-def]
    """dr/dt along the flow into dr (n,), with the gates as they are (those that slide slide)."""
    f, vector = room.group, sums.vector
    forces(gates, r, room.force, room.base)
    dr[:] = 0.0
    count = regroup(groups, state.key)
    for i in range(count):
        lead = groups.order[groups.first[i]]
        size, known = 0.0, False
        active = active_samples(gates, state.gate[lead], sums.active)
        if active == 0:
            continue
        vector[:] = 0.0
        for place in range(groups.first[i], groups.first[i + 1]):
            j = groups.order[place]
            share = np.exp(2.0 * state.rho[j])
            if share == 0.0:
                continue
            if not known:
                group_field(gates, state, lead, room)
                known = True
            size += share * state.a[j] * state.a[j]
            turn = share * dot(f.d, state.v[j])
            for q in range(vector.size):
                vector[q] += turn * state.v[j, q]
        if not known:
            continue
        for q in range(vector.size):
            vector[q] += size * f.d[q]
        for o in range(active):
            k = sums.active[o]
            dr[k] -= dot(gates.inputs[k], vector)
    if not target.plain:
        to_slope(target, r, dr)


@lean
def heaviest(state):  # type: ignore[no-untyped-def]
    """(max_j, sum_j) of max(||w_j||, |a_j|)^2."""
    largest, total = 0.0, 0.0
    for j in range(state.rho.size):
        mass = np.exp(2.0 * state.rho[j]) if state.a[j] != 0.0 else 0.0
        largest = max(largest, mass)
        total += mass
    return largest, total


@lean
def _group_matrix(state, groups, i, least, matrix):  # type: ignore[no-untyped-def]
    """(A = sum_j a_j^2, number of heavy members) of group i, and M = sum_j w_j w_j^T of those into the matrix."""
    total, heavy, size = 0.0, 0, matrix.shape[0]
    matrix[:] = 0.0
    for place in range(groups.first[i], groups.first[i + 1]):
        j = groups.order[place]
        mass = np.exp(2.0 * state.rho[j])
        if mass <= least:
            continue
        total += mass * state.a[j] * state.a[j]
        heavy += 1
        if groups.first[i + 1] - groups.first[i] > size:
            for p in range(size):
                share = mass * state.v[j, p]
                for q in range(p, size):
                    matrix[p, q] += share * state.v[j, q]
    return total, heavy


@lean
def _factorise(matrix):  # type: ignore[no-untyped-def]
    """F with F^T F = M in place of the upper triangle of M, leaving out what is rounding."""
    size, trace = matrix.shape[0], 0.0
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


@compiled
def _add_block(kernel, samples, block, sign):  # type: ignore[no-untyped-def]
    """Adds sign B^T B of the rows B of the block, which is empty afterwards."""
    rows = block.count[0]
    if rows == 0:
        return
    products = np.dot(block.vectors[:rows], samples)
    for i in range(rows):
        for k in range(products.shape[1]):
            block.rows[i, k] = products[i, k] * block.masks[i, k]
    kernel += np.float32(sign) * np.dot(block.rows[:rows].T, block.rows[:rows])
    block.count[0] = 0


@compiled
def _put_row(kernel, samples, block, vector, scale, mask, sign):  # type: ignore[no-untyped-def]
    """Adds, in the end, sign b^T b of the row b = scale <vector, x_k> for the samples of the mask."""
    if block.count[0] == BLOCK:
        _add_block(kernel, samples, block, sign)
    row = block.count[0]
    put(vector, block.vectors[row], scale)
    copy(mask, block.masks[row])
    block.count[0] += 1


@compiled
def relaxation(gates, state, groups, sums, room, gram, kernel):  # type: ignore[no-untyped-def]
    """K (n, n) with dr/dt = -K r for the gates as they are: the neural tangent kernel over n, sliding included. (For
    another loss than the square what it makes of r are the slopes of the outputs.)

    For a group with the active samples X, the projection P off its gates at zero, A = sum_j a_j^2 and
    M = sum_j w_j w_j^T it is X (A P + M) X^T: the first part A (G - X B^T B X^T), the second by its factors, which
    are the neurons or, where there are more of them than dimensions, those of M. Those below NEGLIGIBLE are left out.
    To seven digits, relative to the heaviest neuron and the longest input.
    """
    f, matrix, size, mask, samples = room.group, sums.matrix, sums.matrix.shape[0], sums.mask, gates.samples
    kernel[:] = 0.0
    largest, longest, on = heaviest(state)[0], gates.length.max(), 0
    least, unit = NEGLIGIBLE * largest, 1.0 / (np.sqrt(largest) * longest)
    for i in range(regroup(groups, state.key)):
        lead = groups.order[groups.first[i]]
        total, heavy = _group_matrix(state, groups, i, least, matrix)
        if heavy == 0:
            continue
        copy(state.gate[lead], f.state)
        span_zero(gates, f)
        if on == BLOCK:
            kernel += np.dot(sums.on.T, sums.on) * (gram / longest**2)
            on = 0
        for k in range(gram.shape[0]):
            mask[k] = f.state[gates.gate[k]] == (ON if gates.side[k] > 0 else OFF)
            sums.on[on, k] = np.sqrt(total / largest) * mask[k]
        on += 1
        for b in range(f.info[0]):
            _put_row(kernel, samples, sums.minus, f.basis[b], np.sqrt(total) * unit, mask, -1.0)
        members = groups.first[i + 1] - groups.first[i]
        if members > size:
            _factorise(matrix)
        for b in range(min(size, members)):
            if members > size:
                for p in range(b):
                    matrix[b, p] = 0.0
                _put_row(kernel, samples, sums.plus, matrix[b], unit, mask, 1.0)
            else:
                j = groups.order[groups.first[i] + b]
                _put_row(kernel, samples, sums.plus, state.v[j], np.exp(state.rho[j]) * unit, mask, 1.0)
    kernel += np.dot(sums.on[:on].T, sums.on[:on]) * (gram / longest**2)
    _add_block(kernel, samples, sums.minus, -1.0)
    _add_block(kernel, samples, sums.plus, 1.0)
    kernel *= largest * longest**2 / gram.shape[0]
