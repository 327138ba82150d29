"""The loop over the steps (compiled)."""

from __future__ import annotations

import numpy as np

from gfflow.compiled import compiled
from gfflow.solvers.grouped.bands import look_at_bands, tend_bands
from gfflow.solvers.grouped.fields import bound_fields, find_fields, find_outputs
from gfflow.solvers.grouped.groups import place_block
from gfflow.solvers.grouped.places import look_at_due, look_at_loose
from gfflow.solvers.grouped.state import (
    AHEAD,
    BAND_COUNT,
    BLOCKS,
    CHECKS,
    DONE_STEPS,
    GROUPS,
    LOOSE_COUNT,
    NEAR,
    NOW,
    PAGES,
    PATTERNS,
    SLOT_STEPS,
    SUMS,
    WIDTH,
    WORK,
    state_of,
)
from gfflow.solvers.grouped.strands import sweep_bands
from gfflow.solvers.grouped.sweeps import sweep_groups, sweep_loose, sweep_pages

DONE, REBUILD, HAND_OVER = 0, 1, 2
LOOK = 128  # steps between two looks at what the steps cost
LOOK_LOOSE = 16  # steps between two looks at whether a loose neuron still is one


@compiled
def sweep(s, move):  # type: ignore[no-untyped-def]
    """One step of all neurons, if `move`, and the outputs h. False where a strand was to part and there was no room:
    the outputs are wrong then."""
    s.total[:, : s.counts[PATTERNS]] = 0.0
    s.planes[SUMS] = 0.0
    sweep_groups(s.groups, s.counts[GROUPS], s.maps, s.moments, s.fields, s.total, s.work, move)
    sweep_pages(s.pages, s.page_gates, s.counts[PAGES], s.near, s.planes, s.fields, s.total, s.room, move)
    sweep_loose(s.loose, s.counts[LOOSE_COUNT], s.theta, s.sample, s.planes, s.work[0], move)
    whole = sweep_bands(s, move)
    find_outputs(s.sample, s.planes, s.patterns, s.counts[PATTERNS], s.edge, s.total)
    return whole


@compiled
def descend_grouped(arrays, lr, code, begun, steps, direct, build, out):  # type: ignore[no-untyped-def]
    """Up to `steps` steps, of which `begun` are done already (-1: nothing is). Returns how many were done, and why it
    ended: DONE; REBUILD, where groups are to be formed afresh; HAND_OVER, where a step of the direct form, of cost
    `direct`, would be cheaper. Costs are in nanoseconds of one machine, counted, never measured: `build` is that of
    forming the groups."""
    s = state_of(arrays)
    n, d = s.planes.shape[1:]
    theta, stack = np.empty(d + 1), np.empty(4 * 64 + s.chain.size, np.int64)
    for done in range(begun, steps):
        if done < 0:
            if not sweep(s, done >= 0):  # moves nothing: finds the outputs
                return np.int64(0), REBUILD
            continue
        step = find_fields(s.sample, s.planes, s.patterns, s.counts[PATTERNS], s.edge, s.fields, lr, code)
        step = max(step, bound_fields(s.pages, s.page_gates, s.counts[PAGES], s.planes, s.fields))
        if s.clock[WIDTH] == 0:
            s.clock[WIDTH] = max(SLOT_STEPS * step, 1e-15)
            for b in range(s.counts[BLOCKS]):
                place_block(s, b, s.clock[NOW])
        if not step < 0.02:
            return done, HAND_OVER
        s.clock[NEAR] = 2 * (s.clock[WIDTH] + step)
        s.clock[AHEAD] = s.clock[NOW] + step
        if not (look_at_due(s, stack, theta, out) and look_at_bands(s, theta, out)):
            return done, REBUILD
        if done % LOOK_LOOSE == 0 and not look_at_loose(s, theta, out):
            return done, REBUILD
        if done % LOOK == 0:
            if not tend_bands(s, LOOK, direct, out):
                return done, REBUILD
            cost = 300.0 + 5.0 * (s.counts[GROUPS] + s.counts[PATTERNS]) + s.counts[LOOSE_COUNT] * (n * d * 2.0 + 10)
            for at in range(s.counts[PAGES]):
                cost += 50.0 + s.pages[s.pages[at].listed].size
            for band in range(s.counts[BAND_COUNT]):
                cost += 3.0 * s.bands[band].size
            spent = s.clock[WORK] + s.clock[CHECKS]
            if cost > direct or spent > 2 * build + s.clock[DONE_STEPS] * direct / 2:
                return done, HAND_OVER
            if s.clock[WORK] > 2 * build:
                return done, REBUILD
            if s.clock[WIDTH] > 64 * SLOT_STEPS * step and s.clock[WIDTH] > 2e-15:
                return done, REBUILD
        s.clock[NOW] = s.clock[AHEAD]
        s.clock[DONE_STEPS] += 1.0
        if not sweep(s, done >= 0):
            return done + 1, REBUILD
    return steps, DONE
