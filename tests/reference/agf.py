"""Alternating Gradient Flows (Kunin et al. 2025, arXiv 2506.06489) for two-layer ReLU networks: a benchmark, written
anew from the paper's description.

Neurons are dormant or active. While the residual r stands still every dormant neuron climbs its utility
U(w, a) = a (1/n) sum_k r_k relu(<w, x_k>) on the unit sphere of (w, a), by projected gradient ascent, and sums
S_i = integral of 2 U dt. The first to reach S_i = ln(1 / ||theta_i(0)||) jumps: it becomes active, and the active
neurons then minimise the loss by gradient flow in zero time. The others keep their S_i and their direction.

Variants: `balanced` restores |a| = ||w|| after every step (the flow conserves it, but while U < 0 ascent loses it to
rounding); `clusters` lets all dormant neurons in the jumper's direction jump with it.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def ascent(x, r, theta):
    """Gradient of the utility at theta = (w, a), and its value."""
    n, d = x.shape
    gradient = np.zeros(d + 1)
    for k in range(n):
        z = 0.0
        for i in range(d):
            z += theta[i] * x[k, i]
        if z > 0:
            for i in range(d):
                gradient[i] += theta[d] * r[k] * x[k, i] / n
            gradient[d] += r[k] * z / n
    return gradient, theta[d] * gradient[d]


@njit(cache=True)
def tangent(x, r, theta):
    theta = theta / np.sqrt((theta**2).sum())
    gradient, utility = ascent(x, r, theta)
    return gradient - 2 * utility * theta, 2 * utility


@njit(cache=True)
def restore_balance(theta):
    d = len(theta) - 1
    theta[d] = np.sign(theta[d]) * np.sqrt((theta[:d] ** 2).sum())


@njit(cache=True)
def climb(x, r, directions, sums, targets, dormant, h, end, balanced):
    """Moves the dormant neurons' directions and sums until one jumps; returns the time and its number (-1: none)."""
    t, best = 0.0, -1
    while t < end:
        early = 2.0
        for j in range(len(sums)):
            if not dormant[j]:
                continue
            theta = directions[j]
            k1, u1 = tangent(x, r, theta)
            k2, u2 = tangent(x, r, theta + h / 2 * k1)
            k3, u3 = tangent(x, r, theta + h / 2 * k2)
            k4, u4 = tangent(x, r, theta + h * k3)
            theta = theta + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            if balanced:
                restore_balance(theta)
            directions[j] = theta / np.sqrt((theta**2).sum())
            gain = h / 6 * (u1 + 2 * u2 + 2 * u3 + u4)
            if sums[j] + gain >= targets[j]:
                part = (targets[j] - sums[j]) / gain
                if part < early:
                    early, best = part, j
            sums[j] += gain
        if best >= 0:
            return t + max(early, 0.0) * h, best
        t += h
    return end, -1


@njit(cache=True)
def velocity(x, y, theta):
    n, d = x.shape
    out = np.zeros_like(theta)
    r = y.copy()
    for j in range(len(theta)):
        for k in range(n):
            r[k] -= theta[j, d] * max((theta[j, :d] * x[k]).sum(), 0.0)
    for j in range(len(theta)):
        out[j], _ = ascent(x, r, theta[j])
    return out, r


@njit(cache=True)
def minimise(x, y, theta, h, balanced):
    """Gradient flow of the active neurons until the loss falls by less than 1e-11 in 100 units of time."""
    last = np.inf
    for step in range(20_000_000):
        if step % int(100 / h) == 0:
            _, r = velocity(x, y, theta)
            loss = (r**2).sum() / (2 * len(y))
            if last - loss < 1e-11:
                return r, loss
            last = loss
        k1, _ = velocity(x, y, theta)
        k2, _ = velocity(x, y, theta + h / 2 * k1)
        k3, _ = velocity(x, y, theta + h / 2 * k2)
        k4, _ = velocity(x, y, theta + h * k3)
        theta += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        if balanced:
            for j in range(len(theta)):
                restore_balance(theta[j])
    return r, loss


def alternating_gradient_flows(x, y, w, a, log_scale, balanced, clusters, h=0.02, end=1e5, jumps=60, seed_size=1e-3):
    """Times of the jumps that lower the loss, and the loss after each, from the start (w, a) times e^log_scale."""
    theta = np.concatenate([w, np.asarray(a)[:, None]], axis=1)
    sizes = np.linalg.norm(theta, axis=1)
    directions, sums, targets = theta / sizes[:, None], np.zeros(len(a)), -np.log(sizes) - log_scale
    dormant, active = np.ones(len(a), dtype=bool), np.zeros_like(theta)
    r, loss, t = np.array(y, dtype=float), float((y**2).sum() / (2 * len(y))), 0.0
    times, losses = [], [loss]
    for _ in range(jumps):
        lasted, jumper = climb(x, r, directions, sums, targets, dormant, h, end - t, balanced)
        t += lasted
        if jumper < 0:
            break
        near = directions @ directions[jumper] > 1 - 1e-4 if clusters else np.arange(len(a)) == jumper
        joining = near & dormant
        active[joining] = seed_size * directions[joining]
        dormant &= ~joining
        moving = active[~dormant]
        r, new_loss = minimise(x, y, moving, h, balanced)
        active[~dormant] = moving
        if new_loss < loss - 1e-6 * losses[0]:
            times.append(t)
            losses.append(new_loss)
        loss = new_loss
        if loss < 1e-9:
            break
    return times, losses
