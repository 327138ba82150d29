"""Reference: gradient flow of a balanced ReLU network on data in the plane, in (log-norm, angle) coordinates.

A neuron is w = e^rho (cos phi, sin phi), a = s e^rho. With D(phi) = (1/n) sum_k 1[<w, x_k> > 0] r_k x_k the flow is
rho' = s <D, v>, phi' = s <D, v'>, where v = (cos phi, sin phi) and v' = (-sin phi, cos phi). The scale of the start
shifts rho and nothing else, so that any scale will do, and weights that underflow count as 0, as they should.

The lines <v, x_k> = 0 cut the circle of directions into sectors, in each of which the gates are constant. A neuron is
FREE (turns inside a sector), SLIDES (sits on a boundary at which the field points from both sides: Filippov), or
is HELD (has reached a boundary behind which no open gate turns it: relu'(0) = 0 keeps it there for ever).

Classical Runge-Kutta of order 4 on the whole network, every neuron keeping its sector during a step. Where a neuron
leaves its sector, or its slide ends, the step is shortened to that moment, so that no step sees a kink. The step is
chosen by doubling (`tolerance` bounds a step's error in rho and phi) or constant. Own error: run it with another
tolerance or step.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

FREE, SLIDES, HELD = 0, 1, 2
REACHED, RESTS, FITTED, TOO_MANY = 0, 1, 2, 3  # why an integration has ended
ENDS = ("end time", "rest", "fitted", "steps used up")
# A slide ends when the field pulls away at more than this rate: at a critical point the pulls of both sides vanish.
SLACK = 1e-8


@njit(cache=True)
def field(problem, sign, rho, phi, kind, place, drho, dphi, turning):
    """Writes rho' and phi', and how fast each boundary's two sides turn a neuron of s = 1 that sits on it (turning).
    Returns the loss and its rate of change, -sum_j e^{2 rho_j} (2 rho_j'^2 + phi_j'^2)."""
    x, y, boundary, opened, both = problem
    n, m, count = len(y), len(rho), len(boundary)
    r = y.copy()
    for j in range(m):
        mass = sign[j] * np.exp(2 * rho[j])
        if mass != 0.0:
            c, s = np.cos(phi[j]), np.sin(phi[j])
            gates = both[place[j]] if kind[j] == SLIDES else opened[place[j]]
            for k in range(n):
                if gates[k]:
                    r[k] -= mass * (c * x[k, 0] + s * x[k, 1])
    fields = np.zeros((count, 2))
    for i in range(count):
        for k in range(n):
            if opened[i, k]:
                fields[i, 0] += r[k] * x[k, 0] / n
                fields[i, 1] += r[k] * x[k, 1] / n
    for i in range(count):
        c, s = np.cos(boundary[i]), np.sin(boundary[i])
        turning[i, 0] = -s * fields[i - 1, 0] + c * fields[i - 1, 1]
        turning[i, 1] = -s * fields[i, 0] + c * fields[i, 1]
    rate = 0.0
    for j in range(m):
        c, s = np.cos(phi[j]), np.sin(phi[j])
        along, across = fields[place[j], 0], fields[place[j], 1]
        drho[j] = sign[j] * (c * along + s * across)
        dphi[j] = sign[j] * (c * across - s * along) if kind[j] == FREE else 0.0
        rate -= np.exp(2 * rho[j]) * (2 * drho[j] ** 2 + dphi[j] ** 2)
    return (r**2).sum() / (2 * n), rate


@njit(cache=True)
def runge_kutta(problem, sign, rho, phi, kind, place, h, turning):
    """One classical step of size h."""
    m = len(rho)
    k = np.empty((4, 2, m))
    field(problem, sign, rho, phi, kind, place, k[0, 0], k[0, 1], turning)
    field(problem, sign, rho + h / 2 * k[0, 0], phi + h / 2 * k[0, 1], kind, place, k[1, 0], k[1, 1], turning)
    field(problem, sign, rho + h / 2 * k[1, 0], phi + h / 2 * k[1, 1], kind, place, k[2, 0], k[2, 1], turning)
    field(problem, sign, rho + h * k[2, 0], phi + h * k[2, 1], kind, place, k[3, 0], k[3, 1], turning)
    move = h / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3])
    return rho + move[0], phi + move[1]


@njit(cache=True)
def violations(problem, sign, rho, phi, kind, place, turning, out):
    """How far each neuron is past the moment at which its sector or its slide ends; negative before."""
    boundary = problem[2]
    count = len(boundary)
    unused = np.empty(len(rho))
    field(problem, sign, rho, phi, kind, place, unused, unused.copy(), turning)
    for j in range(len(rho)):
        i = place[j]
        if kind[j] == FREE:
            high = boundary[i + 1] if i + 1 < count else boundary[0] + 2 * np.pi
            out[j] = max(boundary[i] - phi[j], phi[j] - high)
        elif kind[j] == SLIDES:
            out[j] = max(-sign[j] * turning[i, 0], sign[j] * turning[i, 1]) - SLACK
        else:
            out[j] = -1.0
    return out.max()


@njit(cache=True)
def two_halves(problem, sign, rho, phi, kind, place, h, turning):
    rho, phi = runge_kutta(problem, sign, rho, phi, kind, place, h / 2, turning)
    return runge_kutta(problem, sign, rho, phi, kind, place, h / 2, turning)


@njit(cache=True)
def locate(problem, sign, rho, phi, kind, place, h, past, turning, out):
    """The end of the shortest step after which some neuron has left: Illinois' method on the largest violation."""
    low, high = 0.0, h
    f_low, f_high = min(violations(problem, sign, rho, phi, kind, place, turning, out), 0.0), past
    for attempt in range(200):
        if high - low <= 1e-13 * max(1.0, h):
            break
        middle = high - f_high * (high - low) / (f_high - f_low)
        if not low < middle < high or attempt % 3 == 2:
            middle = (low + high) / 2
        a, b = two_halves(problem, sign, rho, phi, kind, place, middle, turning)
        f = violations(problem, sign, a, b, kind, place, turning, out)
        if f > 0:
            high, f_high, f_low = middle, f, f_low / 2
        else:
            low, f_low, f_high = middle, f, f_high / 2
    return high


@njit(cache=True)
def turn(problem, still, sign, phi, kind, place, turning, out):
    """Gives every neuron that has left (out > 0) its next sector, slide or hold."""
    boundary = problem[2]
    count = len(boundary)
    for j in range(len(phi)):
        if not out[j] > 0:
            continue
        i = place[j]
        if kind[j] == SLIDES:
            kind[j] = FREE
            if -turning[i, 0] * sign[j] >= turning[i, 1] * sign[j]:  # the side below lets it go
                place[j] = (i - 1) % count
                phi[j] = boundary[i] if i > 0 else boundary[0] + 2 * np.pi
            continue
        upward = phi[j] > (boundary[i] + (boundary[i + 1] if i + 1 < count else boundary[0] + 2 * np.pi)) / 2
        at = (i + 1) % count if upward else i  # the boundary
        behind = at if upward else (at - 1) % count  # the sector behind it
        phi[j] = boundary[at] if upward or at > 0 else boundary[0] + 2 * np.pi
        drift = sign[j] * (turning[at, 1] if upward else -turning[at, 0])
        if still[at, 1 if upward else 0]:
            kind[j], place[j] = HELD, behind
        elif drift > 0:
            place[j] = behind
        else:
            kind[j], place[j], phi[j] = SLIDES, at, boundary[at]


@njit(cache=True)
def integrate(
    problem, still, sign, rho, phi, kind, place, t, end, h, tolerance, longest, stop_loss, times, losses, rates
):
    """Integrates in place up to `end`, to rest or to stop_loss; returns the number of steps kept, the next step
    size, how it ended and how many events there were."""
    m = len(rho)
    turning, out = np.empty((len(problem[2]), 2)), np.empty(m)
    drho, dphi = np.empty(m), np.empty(m)
    events = 0
    for kept in range(len(times)):
        loss, rate = field(problem, sign, rho, phi, kind, place, drho, dphi, turning)
        times[kept], losses[kept], rates[kept] = t, loss, rate
        if loss <= stop_loss:
            return kept + 1, h, FITTED, events
        if drho.max() < 1e-8 and np.abs(dphi).max() < 1e-8:
            return kept + 1, h, RESTS, events
        if t >= end:
            return kept + 1, h, REACHED, events
        while True:
            step = min(h, end - t, longest)
            one_rho, one_phi = runge_kutta(problem, sign, rho, phi, kind, place, step, turning)
            mid_rho, mid_phi = runge_kutta(problem, sign, rho, phi, kind, place, step / 2, turning)
            new_rho, new_phi = runge_kutta(problem, sign, mid_rho, mid_phi, kind, place, step / 2, turning)
            error = max(np.abs(new_rho - one_rho).max(), np.abs(new_phi - one_phi).max()) / 15
            if error <= tolerance:  # false where it is NaN
                break
            h = step * max(0.2, 0.9 * (tolerance / error) ** 0.2) if error < 1e300 else step / 10
        past = violations(problem, sign, mid_rho, mid_phi, kind, place, turning, out)
        taken = step / 2
        if not past > 0:
            taken = step
            past = violations(problem, sign, new_rho, new_phi, kind, place, turning, out)
        if past > 0:
            taken = locate(problem, sign, rho, phi, kind, place, taken, past, turning, out)
            new_rho, new_phi = two_halves(problem, sign, rho, phi, kind, place, taken, turning)
            violations(problem, sign, new_rho, new_phi, kind, place, turning, out)
            turn(problem, still, sign, new_phi, kind, place, turning, out)
            events += 1
        rho[:], phi[:] = new_rho, new_phi
        t = end if taken == end - t else t + taken
        if taken == step and tolerance < np.inf:
            longer = step * min(4.0, 0.9 * (tolerance / max(error, 1e-300)) ** 0.2)
            h = longer if step == h else max(h, longer)  # a step cut short by `end` says nothing against h
    return len(times), h, TOO_MANY, events


@dataclass
class Curve:
    """The loss along a run at every step: times, losses, and the loss's rates of change; how it ended."""

    times: np.ndarray
    losses: np.ndarray
    rates: np.ndarray
    end: str = ""
    events: int = 0

    def time_below(self, level):
        """When the loss first falls below the level, by a cubic through the step; None where it never does."""
        after = int(np.argmax(self.losses < level))
        if not self.losses[after] < level or after == 0:
            return None
        t0, t1 = self.times[after - 1 : after + 1]
        (f0, f1), (g0, g1) = self.losses[after - 1 : after + 1] - level, self.rates[after - 1 : after + 1] * (t1 - t0)
        low, high = 0.0, 1.0
        for _ in range(60):
            q = (low + high) / 2
            cubic = f0 + q * (g0 + q * (3 * (f1 - f0) - 2 * g0 - g1 + q * (2 * (f0 - f1) + g0 + g1)))
            low, high = (low, q) if cubic < 0 else (q, high)
        return t0 + (t1 - t0) * high

    def plateaus(self, flat=1e-12, apart=0.01):
        """Losses at which the run stands: the first, one for each stretch of time with a rate of change below `flat`,
        and the last; only those that lie at least `apart` times the first loss below the one before."""
        quiet = np.flatnonzero(-self.rates < flat)
        stretches = np.split(quiet, np.flatnonzero(np.diff(quiet) > 1) + 1) if len(quiet) else []
        stood = [float(self.losses[stretch[np.argmin(-self.rates[stretch])]]) for stretch in stretches]
        levels = [float(self.losses[0])]
        for loss in [*stood, float(self.losses[-1])]:
            if loss < levels[-1] - apart * levels[0]:
                levels.append(loss)
        return levels


class Plane:
    """Gradient flow on the data x (n, 2), y (n,) from w (m, 2), signs (m,), times e^log_scale."""

    def __init__(self, x, y, w, signs, log_scale=0.0):
        x, y, w = (np.asarray(part, dtype=np.float64) for part in (x, y, w))
        edges = np.concatenate([np.arctan2(x[:, 1], x[:, 0]) + np.pi / 2, np.arctan2(x[:, 1], x[:, 0]) - np.pi / 2])
        edges = np.sort(edges[np.tile((x != 0).any(axis=1), 2)] % (2 * np.pi))
        edges = edges[np.r_[True, np.diff(edges) > 1e-13]]  # collinear inputs share their boundaries
        if len(edges) > 1 and edges[0] + 2 * np.pi - edges[-1] < 1e-13:
            edges = edges[:-1]
        middles = (edges + np.r_[edges[1:], edges[0] + 2 * np.pi]) / 2
        opened = np.cos(middles)[:, None] * x[:, 0] + np.sin(middles)[:, None] * x[:, 1] > 0
        both = opened & np.roll(opened, 1, axis=0)
        across = np.abs(-np.sin(edges)[:, None] * x[:, 0] + np.cos(edges)[:, None] * x[:, 1])
        turns = across > 1e-12 * np.abs(x).max()  # whether sample k turns a neuron that sits on boundary i
        still = ~np.stack([(np.roll(opened, 1, axis=0) & turns).any(1), (opened & turns).any(1)], axis=1)
        self.problem, self.still = (x, y, edges, opened, both), still
        self.sign = np.asarray(signs, dtype=np.float64)
        largest = np.abs(w).max(axis=1)
        self.rho = np.log(largest) + np.log(np.hypot(*(w / largest[:, None]).T)) + log_scale
        angle = np.arctan2(w[:, 1], w[:, 0])
        self.phi = edges[0] + (angle - edges[0]) % (2 * np.pi)
        self.place = np.searchsorted(edges, self.phi, side="right") - 1
        self.kind = np.zeros(len(w), dtype=np.int64)
        self.time, self._step = 0.0, 1e-3

    def run(self, end, tolerance=1e-10, step=None, longest=50.0, stop_loss=1e-13, max_steps=1_000_000):
        """Integrates on to flow time `end` (or rest, or stop_loss); with `step` given, in steps of that size.

        Returns the Curve of this stretch. The state stays in rho, phi, kind, place and time.
        """
        records = np.empty((3, max_steps))
        kept, self._step, reason, events = integrate(
            self.problem, self.still, self.sign, self.rho, self.phi, self.kind, self.place, self.time, float(end),
            step or self._step, np.inf if step else tolerance, longest, stop_loss, *records,
        )  # fmt: skip
        self.time = records[0, kept - 1]
        return Curve(*records[:, :kept].copy(), end=ENDS[reason], events=events)

    def weights(self):
        """w (m, 2) and a (m,); what underflows is 0."""
        size = np.exp(self.rho)
        return size[:, None] * np.stack([np.cos(self.phi), np.sin(self.phi)], axis=1), self.sign * size
