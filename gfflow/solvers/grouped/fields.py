"""What samples and patterns tell each other in a step: outputs h from the neurons' sums, fields D from residuals."""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled
from gfflow.model.compiled_losses import residual_at
from gfflow.solvers.grouped.state import INPUTS, PULLS, SUMS


@compiled
def find_outputs(sample, planes, patterns, count, edge, total):  # type: ignore[no-untyped-def]
    """h of every sample from the totals of the patterns, which are summed up into those of their parents."""
    n, d = planes.shape[1:]
    for p in range(count - 1, 0, -1):
        parent = patterns[p].parent
        for i in range(d):
            total[i, parent] += total[i, p]
        for at in range(patterns[p].edges, patterns[p + 1].edges):
            k = edge[at]
            if k >= 0:
                for i in range(d):
                    planes[SUMS, k, i] += total[i, p]
            else:
                for i in range(d):
                    planes[SUMS, -1 - k, i] -= total[i, p]
    for k in range(n):
        h = sample[k].loose_h
        for i in range(d):
            h += planes[SUMS, k, i] * planes[INPUTS, k, i]
        sample[k].h = h


@compiled
def find_fields(sample, planes, patterns, count, edge, fields, lr, code):  # type: ignore[no-untyped-def]
    """lr D of every pattern, from its parent's; returns the largest lr ||D||."""
    n, d = planes.shape[1:]
    for k in range(n):
        c = lr * (residual_at(code, sample[k].h, sample[k].y) / n)
        for i in range(d):
            planes[PULLS, k, i] = c * planes[INPUTS, k, i]
    most = 0.0
    for p in range(1, count):
        parent = patterns[p].parent
        for i in range(d):
            fields[i, p] = fields[i, parent]
        for at in range(patterns[p].edges, patterns[p + 1].edges):
            k = edge[at]
            if k >= 0:
                for i in range(d):
                    fields[i, p] += planes[PULLS, k, i]
            else:
                for i in range(d):
                    fields[i, p] -= planes[PULLS, -1 - k, i]
        square = 0.0
        for i in range(d):
            square += fields[i, p] * fields[i, p]
        most = square if not square <= most else most
    return np.sqrt(most)


@compiled
def bound_fields(pages, page_gates, count, planes, fields):  # type: ignore[no-untyped-def]
    """An upper bound of lr ||D|| over the neurons of all pages, whichever of their near gates are open."""
    most = 0.0
    for at in range(count):
        page = pages[at].listed
        square = 0.0
        for i in range(fields.shape[0]):
            low = high = fields[i, pages[page].pattern]
            for c in range(pages[page].gates):
                pull = planes[PULLS, page_gates[page, c], i]
                low += min(pull, 0.0)
                high += max(pull, 0.0)
            square += max(low * low, high * high)
        most = max(most, square)
    return np.sqrt(most)
