"""The reference solver against a descent written by hand, and its mini-batches."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from gfflow.errors import InvalidInput
from gfflow.model.activations import Activation
from gfflow.model.data import TrainingSet, five_points, orthogonal_pair
from gfflow.model.initialization import draw_start
from gfflow.model.network import TwoLayerReLU
from gfflow.solvers import SGD, Fused, make_solver


def descended(w, a, x, y, lr, batches):
    """Descent on the mean square over each batch, divided by 2, with the gradient written sample by sample."""
    for batch in batches:
        step_w, step_a = np.zeros_like(w), np.zeros_like(a)
        for k in batch:
            error = sum(a[j] * max(0.0, w[j] @ x[k]) for j in range(len(a))) - y[k]
            for j in range(len(a)):
                if w[j] @ x[k] > 0:
                    step_w[j] += error * a[j] * x[k] / len(batch)
                    step_a[j] += error * (w[j] @ x[k]) / len(batch)
        w, a = w - lr * step_w, a - lr * step_a
    return w, a


def test_full_batch_equals_descent_by_hand():
    training_set, start = five_points(), draw_start(6, 2, 0.5, seed=3)
    network = TwoLayerReLU(start)
    SGD(0.05).advance(network, training_set, 0, 60)
    w, a = descended(
        start.w.numpy(), start.a.numpy(), training_set.x.numpy(), training_set.y.numpy(), 0.05, [range(5)] * 60
    )
    # 60 steps of rounding at 2e-16
    np.testing.assert_allclose(network.hidden.detach().numpy(), w, rtol=0, atol=1e-13)
    np.testing.assert_allclose(network.output.detach().numpy(), a, rtol=0, atol=1e-13)


def numbered(n: int) -> TrainingSet:
    """Orthonormal inputs: a step moves the weights along the inputs of its batch, and along no other."""
    return TrainingSet(torch.eye(n), torch.ones(n))


def drawn_batches(solver: SGD, n: int, steps: int) -> list[list[int]]:
    """The samples used by each step, read off from the coordinates that moved."""
    start = draw_start(1, n, 1.0, seed=0)
    network = TwoLayerReLU(type(start)(start.w.abs(), start.a.abs()))
    batches = []
    for step in range(steps):
        before = network.hidden.detach().clone()
        solver.advance(network, numbered(n), step, step + 1)
        batches.append((network.hidden.detach() != before)[0].nonzero().flatten().tolist())
    return batches


@pytest.mark.parametrize(("n", "size"), [(6, 2), (6, 6), (6, 1), (5, 5)])
def test_every_epoch_uses_each_sample_once(n, size):
    per_epoch = n // size
    batches = drawn_batches(SGD(1e-3, size, seed=5), n, 4 * per_epoch)
    epochs = [batches[i : i + per_epoch] for i in range(0, len(batches), per_epoch)]
    assert all(sorted(chain(*epoch)) == list(range(n)) for epoch in epochs)
    assert size in (n, 1) or len({tuple(batch) for batch in batches}) > per_epoch  # reshuffled


@pytest.mark.parametrize("n", [5, 7])
def test_samples_left_over_open_the_next_epoch(n):
    """Where the batch size does not divide n no sample is dropped: two epochs use each one twice."""
    solver = SGD(1e-3, 2, seed=1)
    used = torch.cat([solver._next_batch(n) for _ in range(n)])  # n batches of 2: two epochs
    assert sorted(used.tolist()) == sorted([*range(n), *range(n)])


def test_mini_batches_equal_descent_by_hand():
    training_set, start = five_points(), draw_start(4, 2, 0.5, seed=3)
    network = TwoLayerReLU(start)
    SGD(0.05, 2, seed=8).advance(network, training_set, 0, 20)
    twin = SGD(0.05, 2, seed=8)
    batches = [twin._next_batch(5).tolist() for _ in range(20)]
    w, a = descended(start.w.numpy(), start.a.numpy(), training_set.x.numpy(), training_set.y.numpy(), 0.05, batches)
    np.testing.assert_allclose(network.hidden.detach().numpy(), w, rtol=0, atol=1e-13)
    np.testing.assert_allclose(network.output.detach().numpy(), a, rtol=0, atol=1e-13)


def test_resumes_to_the_bit_in_the_middle_of_an_epoch():
    training_set, start = five_points(), draw_start(4, 2, 0.5, seed=3)
    whole, first = TwoLayerReLU(start), TwoLayerReLU(start)
    SGD(0.05, 2, seed=8).advance(whole, training_set, 0, 21)
    solver = SGD(0.05, 2, seed=8)
    solver.advance(first, training_set, 0, 7)
    state = solver.state_dict()
    solver.advance(first, training_set, 7, 9)  # what comes after the checkpoint does not reach into it
    second = TwoLayerReLU(start)
    SGD(0.05, 2, seed=8).advance(second, training_set, 0, 7)
    resumed = SGD(0.05, 2, seed=99)
    resumed.load_state_dict(state)
    resumed.advance(second, training_set, 7, 21)
    assert torch.equal(whole.hidden, second.hidden)
    assert torch.equal(whole.output, second.output)


@pytest.mark.parametrize("batch_size", [None, 2])
def test_leaves_no_trace(batch_size):
    """Neither the global random state nor the seed's own other uses, nor a gradient on the network."""
    torch.manual_seed(11)
    state = torch.get_rng_state()
    network = TwoLayerReLU(draw_start(4, 2, 0.5, seed=3))
    SGD(0.05, batch_size, seed=8).advance(network, five_points(), 0, 5)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.hidden.grad is None
    assert network.output.grad is None


def test_derivative_at_zero_is_the_networks():
    """Appendix D: with relu'(0) = 1 a neuron on its gate is pushed, with 0 it stays."""
    x, y = torch.tensor([[2.0, -1.0]]), torch.tensor([1.0])
    start = draw_start(1, 2, 1.0, seed=0)
    on_gate = type(start)(torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    for at_zero, moved in [(0.0, False), (1.0, True)]:
        network = TwoLayerReLU(replace(on_gate, activation=Activation(at_zero=at_zero)))
        SGD(0.1).advance(network, TrainingSet(x, y), 0, 1)
        assert bool((network.hidden != on_gate.w).any()) is moved


@pytest.mark.parametrize("batch_size", [0, -1])
def test_refuses_an_empty_batch(batch_size):
    with pytest.raises(InvalidInput, match=r"solver\.batch_size"):
        SGD(0.1, batch_size)


def test_refuses_a_batch_larger_than_the_data():
    with pytest.raises(InvalidInput, match="1 to the number of samples, 2"):
        SGD(0.1, 3).check(TwoLayerReLU(draw_start(4, 2, 0.5, seed=3)), orthogonal_pair())


def test_auto_is_the_fastest_that_can():
    assert isinstance(make_solver("auto", 1e-3), Fused)
    assert isinstance(make_solver("auto", 1e-3, batch_size=1), SGD)
    assert isinstance(make_solver("auto", 1e-3, activation=Activation(at_zero=1.0)), SGD)


@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_a_step_size_that_is_none(lr):
    with pytest.raises(InvalidInput, match=r"solver\.lr"):
        make_solver("auto", lr)


def test_mini_batches_are_for_sgd_alone():
    with pytest.raises(InvalidInput, match="solver=sgd"):
        make_solver("fused", 1e-3, batch_size=2)


def test_fused_on_cuda_names_who_can():
    with pytest.raises(InvalidInput, match="captured or sgd; fused"):
        make_solver("fused", 1e-3, cuda=True)


def test_refuses_an_unknown_name():
    with pytest.raises(InvalidInput, match=r"solver\.name: received adam; allowed: one of auto, fused"):
        make_solver("adam", 1e-3)
