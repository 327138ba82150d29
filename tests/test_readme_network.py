"""The README's scripts for one's own network run as they stand there, and log what a computation by hand gives."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).resolve().parents[1]


def script_with(word):
    """The README's script with that word in it."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (script,) = [block for block in blocks if word in block]
    return script


def test_the_script_for_ones_own_network(tmp_path):
    (tmp_path / "script.py").write_text(script_with("MyNetwork"), encoding="utf-8")
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
    assert {f"gfflow/{name}" for name in names} <= set(events.Tags()["scalars"])
    assert "gfflow/neurons/own_cosine" in events.Tags()["histograms"]
    steps = [event.step for event in events.Scalars("gfflow/loss")]
    assert steps[0] == 0 and steps[-1] == 200  # 50 epochs of 4 batches
    assert events.Scalars("gfflow/loss")[-1].value < events.Scalars("gfflow/loss")[0].value


@pytest.mark.parametrize("word", ["MyNetwork", "Classifier", "gfflow.Recorder("])
def test_the_scripts_are_short(word):
    assert len(script_with(word).splitlines()) < 30


def run(word, tmp_path, monkeypatch):
    """What the README's script with that word defines."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    space = {"__name__": "script"}
    exec(script_with(word), space)
    return space


def close(value):
    return pytest.approx(float(value), rel=2e-5)  # TensorBoard's and the module's numbers are float32


def norm_of(gradients):
    return torch.cat([part.flatten() for part in gradients]).norm()


def test_a_classifier_with_labels_0_and_1(tmp_path, monkeypatch):
    space = run("Classifier", tmp_path, monkeypatch)
    (folder,) = (tmp_path / "lightning_logs").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    logged = {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}
    module = space["trainer"].lightning_module
    h = module(space["x"])
    signs = space["x"][:, 0].sign()
    loss = torch.log1p(torch.exp(-signs * h)).mean()
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    square = sum(float(part.square().sum()) for part in module.parameters())
    assert logged["gfflow/loss"] == close(loss)
    assert logged["gfflow/gradient/norm"] == close(norm_of(gradients))
    assert logged["gfflow/margin/normalized"] == close((signs * h).min() / square)
    assert logged["gfflow/margin/errors"] == int((signs * h <= 0).sum()) < 5


def test_a_plain_loop(tmp_path, monkeypatch, capsys):
    space = run("gfflow.Recorder(", tmp_path, monkeypatch)
    network, x, y = space["network"], space["x"], space["y"]

    def loss():
        return (network(x).squeeze(1) - y).square().mean() / 2

    gradient = norm_of(torch.autograd.grad(loss(), list(network.parameters())))
    assert float(capsys.readouterr().out) == pytest.approx(float(gradient), rel=1e-3)  # small beside its terms
    with open("outputs/plain/metrics.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert table[0]["step"] == "0" and table[-1]["step"] == "1000"  # one step of descent before the end
    with torch.no_grad():
        for parameter in network.parameters():  # the step that came after the last record, taken back
            parameter += 0.1 * parameter.grad
    assert float(table[-1]["loss"]) == close(loss())
    events = EventAccumulator("outputs/plain/tensorboard").Reload()
    assert [event.step for event in events.Scalars("loss")] == [int(row["step"]) for row in table]
