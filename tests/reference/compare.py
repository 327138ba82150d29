"""Jump times of the loss: the flow, the limit's lines A_k ln(1/lambda) + B_k, and Alternating Gradient Flows.

    PYTHONPATH=.:tests python -m reference.compare

The flow is the reference in (log-norm, angle) coordinates, timed as the loss passes the middle between two critical
points. Alternating Gradient Flows (2506.06489) by its own rule, and with balance enforced and whole clusters jumping.
"""

import warnings

import numpy as np
import torch
from reference.agf import alternating_gradient_flows
from reference.plane import Plane

from gfflow.model.data import TrainingSet, five_points, orthogonal_pair, random_points
from gfflow.model.initialization import draw_start
from gfflow.theory.staircase import staircase

LN10 = np.log(10)
SETS = {
    "five points": five_points(),
    "orthogonal pair": orthogonal_pair(),
    "random_points(5, 2)": random_points(5, 2),
    "random_points(5, 3)": random_points(5, 3),
}
DECADES = (4, 8, 20, 60)


def matched(times, losses, levels):
    """The time of the first jump that ends within 1e-5 of each level; NaN for none."""
    ends = np.asarray(losses[1:])
    near = [np.flatnonzero(np.abs(ends - level) < 1e-5) for level in levels]
    return [times[hits[0]] if len(hits) else np.nan for hits in near]


def cell(times, flow):
    parts = []
    for t, f in zip(times, flow, strict=True):
        parts.append("never" if np.isnan(t) else f"{t:.1f} ({100 * (t / f - 1):+.1f}%)")
    return ", ".join(parts)


def compare(name, data: TrainingSet):
    unit = draw_start(60, 2, 1.0, 0, True)
    x, y, w, a = (part.numpy() for part in (data.x, data.y, unit.w, unit.a))
    limit = staircase(data, unit)
    levels = [(high + low) / 2 for high, low in zip(limit.losses, limit.losses[1:], strict=False)]
    for decades in DECADES:
        ell = decades * LN10
        end = 1.3 * max(limit.times_at(ell)) + 100
        plane = Plane(x, y, w, np.sign(a), -ell)
        flow = [t if t is not None else np.nan for t in map(plane.run(end).time_below, levels)]
        rows = [cell(limit.times_at(ell), flow)]
        for balanced in (False, True):
            times, losses = alternating_gradient_flows(x, y, w, a, -ell, balanced, balanced, h=0.05, end=1.5 * end)
            rows.append(cell(matched(times, losses, limit.losses[1:]), flow))
        shown = ", ".join(f"{t:.1f}" for t in flow)
        print(f"| {name} | 1e-{decades} | {shown} | " + " | ".join(rows) + " |", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print("| data | lambda | flow | A ell + B | AGF, own rule | AGF, balanced, clusters |")
    print("|---|---|---|---|---|---|")
    for each, training_set in SETS.items():
        compare(each, training_set)
