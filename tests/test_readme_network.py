"""The README's scripts for one's own network run as they stand there, and log what a computation by hand gives."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).resolve().parents[1]


def test_the_script_for_ones_own_network(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (script,) = [block for block in blocks if "MyNetwork" in block]
    assert len(script.splitlines()) < 40
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    (folder,) = (tmp_path / "lightning_logs").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    names = {"loss", "gradient/norm", "alignment/own_min", "mass/u_plus", "mass/u_minus", "structure/clusters"}
    assert names <= set(events.Tags()["scalars"])
    assert "neurons/own_cosine" in events.Tags()["histograms"]
    steps = [event.step for event in events.Scalars("loss")]
    assert steps[0] == 0 and steps[-1] == 200  # 50 epochs of 4 batches
    assert events.Scalars("loss")[-1].value < events.Scalars("loss")[0].value


def scalars_of(name, tmp_path, monkeypatch):
    """The last logged value of each scalar of the README's script with that class, what it defines, its module."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (script,) = [block for block in blocks if f"class {name}(" in block]
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    space = {"__name__": "script"}
    exec(script, space)
    (folder,) = (tmp_path / "lightning_logs").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    logged = {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}
    return logged, space, space["trainer"].lightning_module


def close(value):
    return pytest.approx(float(value), rel=2e-5)  # TensorBoard's and the module's numbers are float32


def test_a_classifier_with_labels_0_and_1(tmp_path, monkeypatch):
    logged, space, module = scalars_of("Classifier", tmp_path, monkeypatch)
    h = module(space["x"]).squeeze(1)
    signs = space["x"][:, 0].sign()
    loss = torch.log1p(torch.exp(-signs * h)).mean()
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    square = sum(float(part.square().sum()) for part in module.parameters())
    assert logged["loss"] == close(loss)
    assert logged["gradient/norm"] == close(torch.cat([g.flatten() for g in gradients]).norm())
    assert logged["margin/normalized"] == close((signs * h).min() / square)
    assert logged["margin/errors"] == int((signs * h <= 0).sum()) < 5


def test_labels_of_plus_and_minus_one_a_loss_by_hand_and_a_scaled_output(tmp_path, monkeypatch):
    logged, space, module = scalars_of("MeanField", tmp_path, monkeypatch)
    x, y = space["x"], space["x"][:, 0].sign()
    w, a = module.w.detach().clone().requires_grad_(), (module.a.detach() / 50).requires_grad_()
    loss = torch.log1p(torch.exp(-y * (torch.relu(x @ w.T) @ a))).mean()
    gradients = torch.autograd.grad(loss, (w, a))
    assert logged["loss"] == close(loss) and loss < 0.3
    assert logged["gradient/norm"] == close(torch.cat([g.flatten() for g in gradients]).norm())
    assert logged["mass/u_plus"] == close(w[a > 0].square().sum())
    assert not any(name.startswith("margin/") for name in logged)


def test_a_frozen_output_layer(tmp_path, monkeypatch):
    logged, space, module = scalars_of("FrozenOutput", tmp_path, monkeypatch)
    loss = (module(space["x"]) - (space["x"][:, :1].abs() - 0.5)).square().mean() / 2
    (gradient,) = torch.autograd.grad(loss, module.net[0].weight)
    assert logged["loss"] == close(loss)
    assert logged["gradient/norm"] == close(gradient.norm())
    assert logged["time"] == close(0.1 * 100)
    assert "invariant/balance_drift" not in logged and "invariant/reactivations" in logged
