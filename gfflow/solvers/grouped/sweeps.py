"""Compiled sweeps of grouped descent: one step of everything (the state is described in grouping).

One step of size lr moves theta = (w, a) of a neuron with field D, the sum of r_k x_k / n over its open samples, by

    w <- w + lr a D,   a <- a + lr <D, w>,      so theta <- (I + lr [[0, D], [D^T, 0]]) theta:

a linear map that depends on the neuron through its pattern alone. With M the product of the maps of a group and
S = sum_j theta_j theta_j^T when it was formed, the sum of a_j w_j over the group is the last column of M S M^T but
for its last entry, and h(x_k) = <x_k, sum of these over the patterns open on k>.

A map is I + E with ||E|| = lr ||D||, so over steps whose lr ||D|| add up to P a neuron moves by at most (e^P - 1)
||theta||, and no gate changes before that reaches its distance |<x_k, w>| / ||x_k|| from the nearest gate.
"""

from __future__ import annotations

from typing import Any

from gfflow.compiled import compiled
from gfflow.solvers.grouped.state import INPUTS, PAGE, PULLS, SUMS

reordered: Any = compiled(fastmath={"reassoc", "contract"})


@reordered
def sweep_groups(groups, count, maps, moments, fields, total, work, move):  # type: ignore[no-untyped-def]
    """One step of every group, if `move`, and their share of the totals."""
    d = fields.shape[0]
    e = d + 1
    if move:
        for i in range(d):
            pull = work[i]
            for g in range(count):
                pull[g] = fields[i, groups[g].pattern]
        for c in range(e):
            last, turn = maps[d * e + c], work[d]
            for g in range(count):
                turn[g] = last[g]
            for i in range(d):
                row, pull = maps[i * e + c], work[i]
                for g in range(count):
                    last[g] += pull[g] * row[g]
                    row[g] += pull[g] * turn[g]
    for i in range(e):
        out = work[e + i]
        for g in range(count):
            out[g] = 0.0
        for q in range(e):
            moment, last = moments[i * e + q], maps[d * e + q]
            for g in range(count):
                out[g] += moment[g] * last[g]
    for i in range(d):
        out = work[2 * e]
        for g in range(count):
            out[g] = 0.0
        for q in range(e):
            row, product = maps[i * e + q], work[e + q]
            for g in range(count):
                out[g] += row[g] * product[g]
        for g in range(count):
            total[i, groups[g].pattern] += out[g] * groups[g].square


@reordered
def sweep_page(page, gates, near, planes, fields, total, room, begin, move):  # type: ignore[no-untyped-def]
    """One step of every neuron of a page, if `move`, and their share of the totals and of the samples' sums."""
    size, pattern, count = page.size, page.pattern, page.gates
    d = fields.shape[0]
    a = near[d, begin : begin + size]
    turn, pull = room[0], room[1]
    for again in range(2):
        for c in range(count):
            z = room[2 + c]
            for j in range(size):
                z[j] = 0.0
            for i in range(d):
                w, entry = near[i, begin : begin + size], planes[INPUTS, gates[c], i]
                for j in range(size):
                    z[j] += w[j] * entry
        if again == 1 or not move:
            break
        for j in range(size):
            turn[j] = 0.0
        for i in range(d):
            w, closed = near[i, begin : begin + size], fields[i, pattern]
            for j in range(size):
                pull[j] = closed
            for c in range(count):
                z, more = room[2 + c], planes[PULLS, gates[c], i]
                for j in range(size):
                    pull[j] += 0.0 if z[j] <= 0 else more
            for j in range(size):
                turn[j] += pull[j] * w[j]
                w[j] += pull[j] * a[j]
        for j in range(size):
            a[j] += turn[j]
    for i in range(d):
        w = near[i, begin : begin + size]
        everything = 0.0
        for j in range(size):
            pull[j] = a[j] * w[j]
            everything += pull[j]
        total[i, pattern] += everything
        for c in range(count):
            z = room[2 + c]
            opened = 0.0
            for j in range(size):
                opened += 0.0 if z[j] <= 0 else pull[j]
            planes[SUMS, gates[c], i] += opened


@reordered
def sweep_page_in_plane(w0, w1, a, x, c, p, other, pull, move):  # type: ignore[no-untyped-def]
    """sweep_page for two coordinates, in one loop. The near gates are that of a sample x (2,) with pull c (2,) and,
    unless `other` is None, that of a sample `other` with its pull; p (2,) is the field with all of them closed.
    Returns the sums over all, and over those open on each."""
    t0 = t1 = u0 = u1 = v0 = v1 = 0.0
    for j in range(a.size):
        w, v, b = w0[j], w1[j], a[j]
        if move:
            z = w * x[0] + v * x[1]
            q0 = p[0] + (0.0 if z <= 0 else c[0])
            q1 = p[1] + (0.0 if z <= 0 else c[1])
            if other is not None:  # known when it is compiled
                z = w * other[0] + v * other[1]
                q0 += 0.0 if z <= 0 else pull[0]
                q1 += 0.0 if z <= 0 else pull[1]
            turn = q0 * w + q1 * v
            w += q0 * b
            v += q1 * b
            b += turn
            w0[j], w1[j], a[j] = w, v, b
        m0, m1 = b * w, b * v
        t0 += m0
        t1 += m1
        z = w * x[0] + v * x[1]
        u0 += 0.0 if z <= 0 else m0
        u1 += 0.0 if z <= 0 else m1
        if other is not None:
            z = w * other[0] + v * other[1]
            v0 += 0.0 if z <= 0 else m0
            v1 += 0.0 if z <= 0 else m1
    return t0, t1, u0, u1, v0, v1


@compiled
def in_plane(rows, k):  # type: ignore[no-untyped-def]
    """Row k of two numbers, as values."""
    return rows[k, 0], rows[k, 1]


@compiled
def sweep_pages(pages, page_gates, count, near, planes, fields, total, room, move):  # type: ignore[no-untyped-def]
    """sweep_page for all pages in use."""
    for at in range(count):
        page = pages[at].listed
        own, gates, begin = pages[page], page_gates[page], page * PAGE
        if fields.shape[0] != 2 or own.gates > 2:
            sweep_page(own, gates, near, planes, fields, total, room, begin, move)
            continue
        end, p, k, q = begin + own.size, own.pattern, gates[0], gates[1]
        w0, w1, a = near[0, begin:end], near[1, begin:end], near[2, begin:end]
        x, c, field = in_plane(planes[INPUTS], k), in_plane(planes[PULLS], k), (fields[0, p], fields[1, p])
        if own.gates == 1:
            t0, t1, u0, u1, _, _ = sweep_page_in_plane(w0, w1, a, x, c, field, None, None, move)
        else:
            other, pull = in_plane(planes[INPUTS], q), in_plane(planes[PULLS], q)
            t0, t1, u0, u1, v0, v1 = sweep_page_in_plane(w0, w1, a, x, c, field, other, pull, move)
            planes[SUMS, q, 0] += v0
            planes[SUMS, q, 1] += v1
        total[0, p] += t0
        total[1, p] += t1
        planes[SUMS, k, 0] += u0
        planes[SUMS, k, 1] += u1


@reordered
def sweep_loose(loose, count, theta, sample, planes, pull, move):  # type: ignore[no-untyped-def]
    """One step of every loose neuron, if `move`, and their share of h."""
    n, d = planes.shape[1:]
    for k in range(n):
        sample[k].loose_h = 0.0
    for at in range(count):
        own = theta[loose[at]]
        if move:
            for i in range(d):
                pull[i] = 0.0
            for k in range(n):
                z = 0.0
                for i in range(d):
                    z += own[i] * planes[INPUTS, k, i]
                if not z <= 0:
                    for i in range(d):
                        pull[i] += planes[PULLS, k, i]
            turn = 0.0
            for i in range(d):
                turn += pull[i] * own[i]
                own[i] += pull[i] * own[d]
            own[d] += turn
        for k in range(n):
            z = 0.0
            for i in range(d):
                z += own[i] * planes[INPUTS, k, i]
            sample[k].loose_h += 0.0 if z <= 0 else own[d] * z
