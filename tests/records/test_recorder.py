"""gfflow.measure and gfflow.Recorder in a plain PyTorch loop, against autograd."""

import csv
import random

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import gfflow
from gfflow.errors import InvalidInput
from gfflow.scalars import Loss
from gfflow.training.schedule import Schedule

GENERATOR = torch.Generator().manual_seed(2)
X = torch.randn(15, 3, generator=GENERATOR, dtype=torch.float64)
Y = torch.sin(X[:, 0]) + 0.2


def network(bias=False, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 6, bias=bias), nn.ReLU(), nn.Linear(6, 1, bias=False)).double()


def truth(net, y=Y, loss=lambda h, y: (h - y) ** 2 / 2):
    """Loss, and the norm of its gradient in all parameters."""
    mean = loss(net(X).squeeze(1), y).mean()
    gradients = torch.autograd.grad(mean, list(net.parameters()))
    return float(mean.detach()), float(nn.utils.parameters_to_vector(gradients).norm())


def close(value):
    return pytest.approx(value, rel=1e-12)  # float64, sums in another order


@pytest.mark.parametrize("bias", [False, True])
def test_the_scalars_of_a_module(bias):
    net = network(bias)
    loss, gradient = truth(net)
    found = gfflow.measure(net, X, Y)
    assert (found["loss"], found["gradient/norm"]) == (close(loss), close(gradient))
    w, a = net[0].weight.detach(), net[2].weight.detach()[0]
    rows = torch.cat([w, net[0].bias.detach()[:, None]], dim=1) if bias else w
    assert found["mass/u_plus"] == close(float(rows[a > 0].square().sum()))
    assert found["structure/nuclear_norm"] == close(float(np.linalg.svd(rows, compute_uv=False).sum()))
    assert not any(name.startswith(("margin/", "invariant/", "time")) for name in found)
    given = (rows.numpy(), a.numpy())  # the weights alone, samples as numbers
    assert gfflow.measure(given, X.numpy(), Y.tolist())["gradient/norm"] == close(gradient)
    neurons = gfflow.Neurons(rows, a)
    assert gfflow.measure(neurons, X, Y)["gradient/norm"] == close(gradient)


def test_other_losses_and_labels_of_classes():
    net, signs = network(), X[:, 0].sign()
    loss, gradient = truth(net, signs, lambda h, y: nn.functional.softplus(-y * h))
    for labels, named in [
        (signs, "logistic"),
        ((signs + 1) / 2, "logistic"),
        (signs, lambda h, y: nn.functional.softplus(-y * h)),
    ]:
        found = gfflow.measure(net, X, labels, loss=named)
        assert (found["loss"], found["gradient/norm"]) == (close(loss), close(gradient))
    h = net(X).squeeze(1).detach()
    assert gfflow.measure(net, X, signs, loss="logistic")["margin/errors"] == int((signs * h <= 0).sum())


def test_an_output_bias_a_view_and_a_slope():
    net = nn.Sequential(nn.Linear(3, 6, bias=False), nn.LeakyReLU(0.2), nn.Linear(6, 1)).double()
    loss, _ = truth(net)
    assert gfflow.measure(net, X, Y)["loss"] == close(loss)
    weights = net[0].weight, net[2].weight, net[2].bias
    assert gfflow.measure(weights, X, Y, slope=0.2)["loss"] == close(loss)
    assert gfflow.measure(net, X, Y, view=lambda m: (m[0].weight, m[2].weight, m[2].bias))["loss"] == close(loss)
    with pytest.raises(InvalidInput, match="a forward that differs from the view"):
        gfflow.measure(net, X, Y, view=lambda m: (m[0].weight, 2 * m[2].weight, m[2].bias))


def test_measuring_moves_nothing():
    net = network()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    weights = nn.utils.parameters_to_vector(net.parameters()).clone()
    gfflow.measure(net, X, Y)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
    assert before[2] == np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(weights, nn.utils.parameters_to_vector(net.parameters())) and net.training


def train(recorder, steps, optimizer=None):
    """A loop that records every state; returns the true loss and gradient by step."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    true = {}
    for step in range(steps + 1):
        true[step] = truth(net)
        recorder.record(step, net)
        optimizer.zero_grad()
        (nn.functional.mse_loss(net(X).squeeze(1), Y) / 2).backward()
        optimizer.step()
    return true


def test_the_records_of_a_loop(tmp_path):
    with gfflow.Recorder(tmp_path / "run", X, Y, step_size=0.05) as recorder:
        true = train(recorder, 130)
    rows = recorder.rows
    assert set(range(21)) <= set(rows) and 130 in rows and 40 < len(rows) < 70  # spaced by 5%, and the last
    for step, row in rows.items():
        assert (row["loss"], row["gradient/norm"]) == (close(true[step][0]), close(true[step][1]))
        assert row["time"] == close(0.05 * step)
    assert rows[0]["invariant/balance_drift"] == 0 < rows[130]["invariant/balance_drift"] < 0.1
    few = [step for step, row in rows.items() if "structure/clusters" in row]
    assert few == [0, 1, 2, 4, 8, 16, 32, 64, 130]
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(line["step"]) for line in table] == list(rows)
    assert [float(line["loss"]) for line in table] == [row["loss"] for row in rows.values()]
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("loss")] == list(rows)
    assert [e.value for e in events.Scalars("loss")] == pytest.approx([r["loss"] for r in rows.values()], rel=1e-6)
    assert "log10_iteration/loss" in events.Tags()["scalars"]
    assert "custom_scalars__config__" in events.Tags()["tensors"]


def test_a_schedule_measures_of_ones_own_and_what_is_refused(tmp_path):
    recorder = gfflow.Recorder(tmp_path / "run", X, Y, schedule=Schedule((0, 3, 9)), measures=[Loss()])
    net = network()
    assert set(recorder.record(0, net)) == {"loss"}
    assert recorder.record(2, net) == {} and recorder.record(4, net) != {}  # 3 has been passed
    with pytest.raises(InvalidInput, match="step: received 4; allowed: more than 4, the step before"):
        recorder.record(4, net)
    recorder.record(5, net)
    recorder.close()
    assert list(recorder.rows) == [0, 4, 5]
    with pytest.raises(InvalidInput, match=r"folder: received .*; allowed: a folder without metrics\.csv in it"):
        gfflow.Recorder(tmp_path / "run", X, Y)
    with pytest.raises(InvalidInput), gfflow.Recorder(tmp_path / "none", X, Y) as broken:
        broken.record(0, nn.Linear(3, 2))
    assert not (tmp_path / "none").exists()


def test_a_loop_that_is_stopped_or_diverges_keeps_what_was_recorded(tmp_path):
    net, stopped = network(), gfflow.Recorder(tmp_path / "stopped", X, Y)

    def loop():
        with stopped as recorder:
            for step in (0, 20, 21):  # the last not due
                recorder.record(step, net)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    recorder = stopped
    assert list(recorder.rows) == [0, 20, 21]
    with gfflow.Recorder(tmp_path / "diverged", X, Y) as recorder:
        recorder.record(0, net)
        recorder.record(1, (torch.full((6, 3), torch.nan), torch.ones(6)))
    assert list(recorder.rows) == [0]


class Mean(nn.Module):
    """1/m outside, on parameters of its own."""

    def __init__(self):
        super().__init__()
        self.w, self.a = nn.Parameter(torch.randn(5, 2)), nn.Parameter(torch.randn(5))

    def forward(self, x):
        return torch.relu(x @ self.w.T) @ self.a / 5


def test_weights_that_a_view_scales_are_refused():
    """Balance would be that of other weights than the loop trains."""
    network, x = Mean(), torch.randn(8, 2)
    with pytest.raises(InvalidInput, match=r"times the module's own.*View\(output_scale=0.2\)"):
        gfflow.measure(network, x, x[:, 0], view=lambda m: (m.w, m.a / 5))
    loss = float((network(x) - x[:, 0]).square().mean().detach()) / 2
    found = gfflow.measure(network, x, x[:, 0], view=lambda m: (m.w, m.a), output_scale=0.2)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)  # of float32
