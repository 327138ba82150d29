"""Starts of other papers: what each draws, what it conserves, and starts from files and from Python."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from gfflow.config import RunConfig
from gfflow.errors import InvalidInput
from gfflow.experiment import build
from gfflow.model.data import TrainingSet
from gfflow.model.examples import early_alignment
from gfflow.model.initialization import draw_dominated, draw_gaussian, draw_start, mirrored
from gfflow.model.neurons import Neurons
from gfflow.model.starts import STARTS, Gaussian
from gfflow.records.run import Run
from gfflow.run import train

EPS = np.finfo(float).eps
QUIET = {"figures": False, "verbose": False, "callbacks": {"checkpoint": False, "histograms": False}}


def start_of(width: int = 40, seed: int = 0, **init: object) -> Neurons:
    values = {"data": {"name": "early_alignment"}, "network": {"width": width}, "init": init, "seed": seed}
    return build(RunConfig.of(values)).start


@pytest.mark.parametrize("scale", [1e-3, 1e-300])
def test_a_dominated_start_is_that_of_the_authors(scale: float) -> None:
    start = draw_dominated(2000, 3, scale, seed=1)
    w = start.w / scale
    assert float(w.abs().max()) <= 1
    assert bool((start.a.abs() / scale - math.sqrt(3)).abs().max() <= 4 * EPS)
    assert bool((start.a.abs() >= start.norms).all())
    # uniform on [-1, 1]: mean 0, variance 1/3; fair signs. Five standard errors.
    assert float(w.mean()) == pytest.approx(0, abs=5 / math.sqrt(3 * 6000))
    assert float(w.square().mean()) == pytest.approx(1 / 3, abs=5 * math.sqrt(4 / 45 / 6000))
    assert float(start.signs.mean()) == pytest.approx(0, abs=5 / math.sqrt(2000))


def test_the_same_seed_draws_the_same_at_every_scale() -> None:
    one, other = draw_dominated(9, 2, 1.0, 3), draw_dominated(9, 2, 2.0**-40, 3)
    assert torch.equal(one.w * 2.0**-40, other.w) and torch.equal(one.a * 2.0**-40, other.a)


@pytest.mark.parametrize("half", ["balanced", "unbalanced", "dominated"])
def test_an_antisymmetric_start_has_no_output(half: str) -> None:
    start = start_of(name="antisymmetric", half=half, scale=3.0)
    x = early_alignment().x
    parts = (torch.relu(x @ start.w.T) * start.a).abs().sum(dim=1)
    assert bool((start.outputs(x).abs() <= 1e-12 * parts).all())
    assert torch.equal(start.w[:20], start.w[20:]) and torch.equal(start.a[:20], -start.a[20:])


def test_an_antisymmetric_start_needs_an_even_width() -> None:
    with pytest.raises(InvalidInput, match=r"network\.width: received 7; allowed: an even number"):
        start_of(7, name="antisymmetric")


def test_a_gaussian_start_has_its_three_numbers() -> None:
    start = STARTS.of({"name": "gaussian", "beta_1": 3.0, "beta_2": 0.5, "alpha": 4.0}).draw(4000, 2, 1.0, 0)
    # deviations over sqrt(alpha) = 2; five standard errors of a variance, sqrt(2 / N)
    assert float(start.a.square().mean()) == pytest.approx(1.5**2, rel=5 * math.sqrt(2 / 4000))
    assert float(start.w.square().mean()) == pytest.approx(0.25**2, rel=5 * math.sqrt(2 / 8000))


def test_dividing_the_output_by_alpha_is_another_clock() -> None:
    """Descent on a network whose output is divided by alpha, with step eta, is descent on the network as it is drawn
    here with step eta / alpha: weights sqrt(alpha) times as large, at every step. By autograd on the former."""
    data, alpha, eta = early_alignment(), 7.0, 1e-2
    here = draw_gaussian(12, 2, 0.9 / math.sqrt(alpha), 0.4 / math.sqrt(alpha), seed=2)
    w, a = (math.sqrt(alpha) * v for v in (here.w, here.a))
    for _ in range(50):
        w, a = w.detach().requires_grad_(), a.detach().requires_grad_()
        loss = (torch.relu(data.x @ w.T) @ a / alpha - data.y).square().mean() / 2
        grad_w, grad_a = torch.autograd.grad(loss, (w, a))
        w, a = w - eta * grad_w, a - eta * grad_a
    config = {"solver": {"name": "sgd", "lr": eta / alpha, "iterations": 50}, **QUIET}
    experiment = build(config, data, start=here)
    experiment.module.solver.advance(experiment.module.network, data, 0, 50)
    found = experiment.module.network.neurons()
    assert torch.allclose(found.w * math.sqrt(alpha), w.detach(), rtol=1e-12, atol=1e-14)  # rounding over 50 steps
    assert torch.allclose(found.a * math.sqrt(alpha), a.detach(), rtol=1e-12, atol=1e-14)


def test_two_exponents_stand_for_the_three_numbers() -> None:
    output, hidden = Gaussian(gamma=1.5, gamma_prime=0.25).deviations(100)
    assert output * hidden == pytest.approx(100**-1.5, rel=1e-14) and output / hidden == pytest.approx(100**-0.25)
    with pytest.raises(InvalidInput, match=r"init\.gamma_prime"):
        Gaussian(gamma=1.0)


@pytest.mark.parametrize("kind", ["npz", "pt"])
def test_weights_from_a_file(kind: str, tmp_path: Path) -> None:
    start = draw_start(5, 2, 0.3, seed=8, balanced=False)
    path = tmp_path / f"weights.{kind}"
    if kind == "npz":
        np.savez(path, w=start.w.numpy(), a=start.a.numpy())
    else:
        torch.save({"w": start.w.float(), "a": start.a.float()}, path)
    found = start_of(5, name="file", path=str(path))
    assert torch.allclose(found.w, start.w, rtol=1e-7) and torch.allclose(found.a, start.a, rtol=1e-7)
    assert kind == "pt" or torch.equal(found.w, start.w)


def test_weights_from_a_run(tmp_path: Path) -> None:
    values = {"data": {"name": "early_alignment"}, "network": {"width": 6}, "solver": {"iterations": 50}, **QUIET}
    train(values, tmp_path / "first")
    frames = Run.read(tmp_path / "first").trajectory
    assert frames is not None
    for frame in (0, 3, -1):
        found = start_of(6, name="file", path=str(tmp_path / "first"), frame=frame)
        assert np.array_equal(found.w.numpy(), frames.w[frame]) and np.array_equal(found.a.numpy(), frames.a[frame])
    with pytest.raises(InvalidInput, match=r"init\.frame"):
        start_of(6, name="file", path=str(tmp_path / "first"), frame=10_000)


class Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a file was run",))


def test_no_file_is_run_and_each_fault_is_told(tmp_path: Path) -> None:
    torch.save({"w": Harm(), "a": torch.ones(2)}, tmp_path / "harm.pt")
    np.save(tmp_path / "harm.npy", np.array([Harm()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "no_a.npz", w=np.ones((3, 2)))
    np.savez(tmp_path / "flat.npz", w=np.ones(3), a=np.ones(3))
    np.savez(tmp_path / "wide.npz", w=np.ones((3, 5)), a=np.ones(3))
    np.savez(tmp_path / "nan.npz", w=np.full((3, 2), np.nan), a=np.ones(3))
    for name in ("harm.pt", "harm.npy", "no_a.npz", "flat.npz", "wide.npz", "nan.npz", "absent.npz"):
        with pytest.raises(InvalidInput, match=r"init\.path"):
            start_of(3, name="file", path=str(tmp_path / name))
    np.savez(tmp_path / "three.npz", w=np.ones((3, 2)), a=np.ones(3))
    with pytest.raises(InvalidInput, match=r"network\.width: received 4; allowed: 3"):
        start_of(4, name="file", path=str(tmp_path / "three.npz"))
    with pytest.raises(InvalidInput, match=r"init\.path"):
        start_of(3, name="file")


def test_weights_from_python_are_known_by_their_digest(tmp_path: Path) -> None:
    start = draw_start(4, 2, 1e-2, seed=5)
    values = {"data": {"name": "early_alignment"}, "solver": {"iterations": 30}, "resume": "auto", **QUIET}
    first = train(values, tmp_path / "run", start=(start.w, start.a))
    assert first["config"]["network"]["width"] == 4
    assert first["config"]["init"] == {**first["config"]["init"], "name": "given", "sha256": start.digest}
    frames = Run.read(tmp_path / "run").trajectory
    assert frames is not None and np.array_equal(frames.w[0], start.w.numpy())
    assert train(values, tmp_path / "run", start=start) == first  # it has ended: left alone
    with pytest.raises(InvalidInput):
        train(values, tmp_path / "run", start=draw_start(4, 2, 1e-2, seed=6))


def test_the_flow_keeps_the_signs_of_a_dominated_start_and_the_notes_say_what_is_kept(tmp_path: Path) -> None:
    values = {
        "data": {"name": "early_alignment"},
        "network": {"width": 50},
        "init": {"name": "dominated", "scale": 1e-2},
        "solver": {"name": "flow", "iterations": 40_000},
        **QUIET,
    }
    assert any("keeps the sign of every a_j" in note for note in build(values).notes)
    train(values, tmp_path / "run")
    frames = Run.read(tmp_path / "run").trajectory
    assert frames is not None and len(frames.step) > 50
    assert (np.sign(frames.a) == np.sign(frames.a[0])).all()
    some = build({**values, "init": {"name": "unbalanced"}})
    kept = int((some.start.a.abs() >= some.start.norms).sum())
    assert any(f"the sign of the {kept} of 50 a_j" in note for note in some.notes)
    assert not any("Lemma 1" in note for note in build({**values, "init": {"name": "balanced"}}).notes)


def test_lambda_of_weights_of_any_origin_is_their_deviation() -> None:
    start = draw_start(3000, 4, 1e-250, seed=1)
    config = {"solver": {"iterations": 10}, **QUIET}
    data = TrainingSet(torch.eye(4, dtype=torch.float64), torch.tensor([1.0, -0.5, 0.7, -0.9]))
    scale = build(config, data, start=start).prediction.scale
    assert scale == pytest.approx(1e-250, rel=5 * math.sqrt(2 / 12000))


def test_mirrored_keeps_the_activation() -> None:
    assert mirrored(draw_start(2, 2, 1.0, 0)).activation.is_relu


def test_a_width_that_no_memory_holds_is_refused_at_once() -> None:
    with pytest.raises(InvalidInput, match=r"network.width: received 1,000,000,000,000; allowed: less than [\d,]+,"):
        build(RunConfig.of({"network": {"width": 10**12}}))
