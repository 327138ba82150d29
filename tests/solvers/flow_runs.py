"""What the tests of the flow solver share: starts, runs, and the same flow by scipy."""

import numpy as np
import torch
from scipy.integrate import solve_ivp

from gfflow.model.data import TrainingSet
from gfflow.model.initialization import draw_start, initialization_scale
from gfflow.model.network import TwoLayerReLU
from gfflow.model.neurons import Neurons

METHODS = ["splitting", "runge_kutta"]
LABELS = [1.5, 0.8, -0.6, 1.2, -0.9, -0.4]


def started(training_set, width, scale, normalization="width", seed=0, balanced=True):
    """A network's start at the scale, as a run draws it."""
    size = initialization_scale(scale, normalization, width, training_set.d)
    return draw_start(width, training_set.d, size, seed, balanced)


def trained(solver, training_set, start, stops):
    """Neurons at each of the iterations `stops`."""
    network, at, frames = TwoLayerReLU(start), 0, []
    for stop in stops:
        solver.advance(network, training_set, at, stop)
        at = stop
        frames.append(network.neurons())
    return frames


def by_scipy(training_set, start, end):
    """The flow by scipy's DOP853 on the weights themselves, relu'(0) = 0."""
    x, y = training_set.x.numpy(), training_set.y.numpy()
    m, d = start.w.shape

    def velocity(_, q):
        w, a = q[: m * d].reshape(m, d), q[m * d :]
        z = w @ x.T
        r = y - a @ np.maximum(z, 0)
        field = ((z > 0) * (r / len(y))) @ x
        return np.concatenate([(a[:, None] * field).ravel(), (field * w).sum(1)])

    q = np.concatenate([start.w.numpy().ravel(), start.a.numpy()])
    last = solve_ivp(velocity, (0, end), q, method="DOP853", rtol=1e-11, atol=1e-12 * np.abs(q).max()).y[:, -1]
    return Neurons(torch.from_numpy(last[: m * d].reshape(m, d)), torch.from_numpy(last[m * d :]))


def masses(neurons):
    squares = neurons.w.square().sum(1)
    return np.array([float(squares[neurons.a > 0].sum()), float(squares[neurons.a < 0].sum())])


def loss(neurons, training_set):
    r = training_set.y - neurons.a @ (neurons.w @ training_set.x.T).clamp(min=0)
    return float(r.square().mean() / 2)


def random_set(n, d, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return TrainingSet(x, torch.randn(n, generator=generator, dtype=torch.float64))
