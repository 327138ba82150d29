"""Compiled kernels of full-batch gradient descent, written out.

One step of size lr, from the old weights throughout (L of Eq. 1, relu'(0) = 0):

    z_kj = <w_j, x_k>,   h_k = sum_j a_j relu(z_kj),   c_k = lr (y_k - h_k) / n,   A_kj = 1[z_kj > 0],
    w_j <- w_j + a_j sum_k A_kj c_k x_k,               a_j <- a_j + sum_k A_kj c_k z_kj.

Other losses, by their `code`, have r_k = -dl/dh in the place of y_k - h_k. `unrolled` and `descend_any` know the
leaky ReLU too, for which A_kj is `slope` where z_kj <= 0, and frozen layers, which stay as they are.

Neurons lie along the contiguous axis, w (d, m) and z (n, m), so that every inner loop runs over neurons and
becomes SIMD code. Sums may be reordered and products fused into them, which changes results by rounding alone (and
not at all where the arithmetic is exact, so that a neuron put exactly on a gate is seen there). A gate reads
`z <= 0` for off, so NaN passes through every step. All kernels work in place, for float64 and float32.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from gfflow.compiled import compiled, tuple_setitem
from gfflow.model.compiled_losses import residual_at

_plain: Any = compiled
_reordered: Any = compiled(fastmath={"reassoc", "contract"})


@cache
def unrolled(
    n: int, d: int, number: type, code: int = 0, slope: float = 0.0, moves_w: bool = True, moves_a: bool = True
) -> Any:
    """descend(w, a, x, y, lr, leaps, at_w, at_a) for exactly n samples in d dimensions, both small, of numpy's type
    `number`, for the loss of that code, the activation's slope below 0, and with a layer frozen where it does not
    move.

    leaps (T,) are numbers of steps, done one after another; where at_w (T, m, d) and at_a (T, m) are not empty, the
    weights after each of them are left there. A leap begins anew from w (m, d), turned to (d, m): T leaps
    in one call are to the bit T calls of one leap each, by one and the same compiled code.

    All of these are constants of the compiled code: all loops but the one over neurons are unrolled and the sums live
    in registers (hence the tuples), so that one sweep over the neurons does a step and gathers the h_k for the next.
    """
    zero, count, below, leaky, square = number(0), number(n), number(slope), slope != 0, code == 0
    none, at_origin, no_inputs = (zero,) * n, (zero,) * d, (zero,) * (n * d)

    @_reordered
    def descend(weights, a, x, y, lr, leaps, at_w, at_a):  # type: ignore[no-untyped-def]
        w = np.empty((d, a.size), a.dtype)
        xs = no_inputs
        for k in range(n):
            for i in range(d):
                xs = tuple_setitem(xs, k * d + i, x[k, i])
        for leap in range(leaps.size):
            for j in range(a.size):
                for i in range(d):
                    w[i, j] = weights[j, i]
            c = none
            h = none
            for step in range(leaps[leap] + 1):  # the first sweep moves nothing, it only gathers h
                for k in range(n):
                    if square:
                        c = tuple_setitem(c, k, lr * ((y[k] - h[k]) / count))
                    else:
                        c = tuple_setitem(c, k, lr * (residual_at(code, h[k], y[k]) / count))
                if step == 0:
                    c = none
                h = none
                for j in range(a.size):
                    p, field = at_origin, at_origin
                    for i in range(d):
                        p = tuple_setitem(p, i, w[i, j])
                    turn = zero
                    for k in range(n):
                        z = zero
                        for i in range(d):
                            z += p[i] * xs[k * d + i]
                        if leaky:
                            g = below * c[k] if z <= zero else c[k]
                        else:
                            g = zero if z <= zero else c[k]
                        turn += g * z
                        for i in range(d):
                            field = tuple_setitem(field, i, field[i] + g * xs[k * d + i])
                    if moves_w:
                        for i in range(d):
                            p = tuple_setitem(p, i, p[i] + a[j] * field[i])
                            w[i, j] = p[i]
                    if moves_a:
                        a[j] += turn
                    for k in range(n):
                        z = zero
                        for i in range(d):
                            z += p[i] * xs[k * d + i]
                        if leaky:
                            h = tuple_setitem(h, k, h[k] + a[j] * (below * z if z <= zero else z))
                        else:
                            h = tuple_setitem(h, k, h[k] + a[j] * (zero if z <= zero else z))
            for j in range(a.size):
                for i in range(d):
                    weights[j, i] = w[i, j]
            if at_a.shape[0] > 0:
                for j in range(a.size):
                    at_a[leap, j] = a[j]
                    for i in range(d):
                        at_w[leap, j, i] = w[i, j]

    return descend


@_plain
def _preactivations(w, x, z):  # type: ignore[no-untyped-def]
    for k in range(x.shape[0]):
        row = z[k]
        first = x[k, 0]
        for j in range(row.size):
            row[j] = w[0, j] * first
        for i in range(1, x.shape[1]):
            entry = x[k, i]
            for j in range(row.size):
                row[j] += w[i, j] * entry


@_reordered
def _errors(z, a, y, lr, code, c):  # type: ignore[no-untyped-def]
    zero = c.dtype.type(0)
    for k in range(y.size):
        row = z[k]
        h = zero
        for j in range(row.size):
            v = row[j]
            h += a[j] * (zero if v <= zero else v)
        c[k] = lr * (residual_at(code, h, y[k]) / y.dtype.type(y.size))


@_reordered
def _output_turn(z, c, turn):  # type: ignore[no-untyped-def]
    zero = c.dtype.type(0)
    turn[:] = zero
    for k in range(c.size):
        row = z[k]
        ck = c[k]
        for j in range(turn.size):
            v = row[j]
            turn[j] += ck * (zero if v <= zero else v)


@_reordered
def _hidden_update(w, a, x, z, c, field):  # type: ignore[no-untyped-def]
    zero = c.dtype.type(0)
    for i in range(w.shape[0]):
        field[:] = zero
        for k in range(c.size):
            row = z[k]
            entry = c[k] * x[k, i]
            for j in range(a.size):
                field[j] += zero if row[j] <= zero else entry
        for j in range(a.size):
            w[i, j] += a[j] * field[j]


@_plain
def descend_direct(w, a, x, y, lr, steps, code):  # type: ignore[no-untyped-def]
    """Any inputs, on the weights w (m, d) themselves: about 4 n d operations a neuron and step."""
    columns = np.ascontiguousarray(w.T)
    z = np.empty((y.size, a.size), w.dtype)
    c = np.empty(y.size, w.dtype)
    field = np.empty(a.size, w.dtype)
    turn = np.empty(a.size, w.dtype)
    for _ in range(steps):
        _preactivations(columns, x, z)
        _errors(z, a, y, lr, code, c)
        _output_turn(z, c, turn)
        _hidden_update(columns, a, x, z, c, field)
        a += turn
    w[:] = columns.T


@_reordered
def _turn_and_field(w, a, x, y, z, lr, code, slope, turn, field):  # type: ignore[no-untyped-def]
    """What a_j moves by into turn (m,), and the field of neuron j times lr into field (d, m)."""
    zero, one = field.dtype.type(0), field.dtype.type(1)
    turn[:] = zero
    field[:] = zero
    for k in range(y.size):
        row, h = z[k], zero
        for j in range(a.size):
            h += a[j] * (slope if row[j] <= zero else one) * row[j]
        ck = field.dtype.type(lr * (residual_at(code, h, y[k]) / y.size))
        for j in range(a.size):
            turn[j] += ck * (slope if row[j] <= zero else one) * row[j]
        for i in range(w.shape[0]):
            entry, out = ck * x[k, i], field[i]
            for j in range(a.size):
                out[j] += entry * (slope if row[j] <= zero else one)


@_plain
def descend_any(w, a, x, y, lr, steps, code, slope, moves_w, moves_a):  # type: ignore[no-untyped-def]
    """As descend_direct, for any slope below 0 and with a layer frozen where it does not move."""
    columns = np.ascontiguousarray(w.T)
    z = np.empty((y.size, a.size), w.dtype)
    field = np.empty_like(columns)
    turn = np.empty(a.size, w.dtype)
    for _ in range(steps):
        _preactivations(columns, x, z)
        _turn_and_field(columns, a, x, y, z, lr, code, slope, turn, field)
        if moves_w:
            columns += a * field
        if moves_a:
            a += turn
    w[:] = columns.T


@_reordered
def _pushes(z, a, c, push, sums):  # type: ignore[no-untyped-def]
    zero = c.dtype.type(0)
    for k in range(c.size):
        row, mine, total = z[k], push[k], sums[k]
        ck = c[k]
        for j in range(a.size):
            mine[j] = zero if row[j] <= zero else a[j] * ck
            total[j] += mine[j]


@_plain
def descend_gram(z, a, gram, y, lr, steps, code, sums):  # type: ignore[no-untyped-def]
    """On the pre-activations z (n, m), which move by gram @ push, push_kj = a_j A_kj c_k: about 2 n^2 operations a
    neuron and step, in one BLAS product. The weights themselves have moved by sum_k sums_kj x_k."""
    c = np.empty(y.size, z.dtype)
    push = np.empty_like(z)
    move = np.empty_like(z)
    turn = np.empty(a.size, z.dtype)
    for _ in range(steps):
        _errors(z, a, y, lr, code, c)
        _output_turn(z, c, turn)
        _pushes(z, a, c, push, sums)
        np.dot(gram, push, move)
        z += move
        a += turn


@_reordered
def _diagonal_update(z, a, squares, c, sums, turn):  # type: ignore[no-untyped-def]
    zero = c.dtype.type(0)
    turn[:] = zero
    for k in range(c.size):
        row, total = z[k], sums[k]
        ck, square = c[k], squares[k]
        for j in range(a.size):
            v = row[j]
            push = zero if v <= zero else a[j] * ck
            turn[j] += ck * (zero if v <= zero else v)
            total[j] += push
            row[j] = v + square * push
    for j in range(a.size):
        a[j] += turn[j]


@_plain
def descend_diagonal(z, a, squares, y, lr, steps, code, sums):  # type: ignore[no-untyped-def]
    """descend_gram for exactly orthogonal inputs, squares = ||x_k||^2: about 5 n operations a neuron and step."""
    c = np.empty(y.size, z.dtype)
    turn = np.empty(a.size, z.dtype)
    for _ in range(steps):
        _errors(z, a, y, lr, code, c)
        _diagonal_update(z, a, squares, c, sums, turn)
