"""Damaged, hostile and foreign files in a run's folder: each gives one line, and no code in it is run."""

import os
import random

import pytest
import torch
from resumed_runs import config, events, stopped_run

from gfflow.commands.resuming import configuration_of
from gfflow.errors import InvalidInput
from gfflow.records.folder import events_folder
from gfflow.records.run import Run
from gfflow.run import train


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"not a checkpoint",
        lambda data: data[100:],
    ],
    ids=["truncated", "empty", "text", "beheaded"],
)
def test_a_damaged_checkpoint_gives_one_line(damage, tmp_path):
    train(config("unrolled"), tmp_path)
    (tmp_path / "summary.json").unlink()
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidInput, match=r"a whole checkpoint") as told:
        train(config("unrolled"), tmp_path)
    assert "\n" not in str(told.value)


def test_flipped_bits_in_a_checkpoint_are_seen(monkeypatch, tmp_path):
    """Bits of the weights themselves: the archive opens, and torch alone would load it."""
    stopped_run(tmp_path, monkeypatch)
    path = tmp_path / "checkpoints" / "last.ckpt"
    content, weight = path.read_bytes(), torch.load(path, weights_only=True)["state_dict"]["network.output"]
    at = content.index(weight.numpy().tobytes())
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert not torch.equal(torch.load(path, weights_only=True)["state_dict"]["network.output"], weight)
    with pytest.raises(InvalidInput, match="checksum"):
        train(config("unrolled"), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["gfflow"].pop("solver"),
        lambda saved: saved["state_dict"].update({"network.output": torch.zeros(3, dtype=torch.float64)}),
        lambda saved: saved["state_dict"].pop("network.output"),
        lambda saved: saved.update(gfflow="text"),
    ],
    ids=["no solver", "other width", "no output", "text"],
)
def test_a_checkpoint_of_something_else_gives_one_line(change, monkeypatch, tmp_path):
    stopped_run(tmp_path, monkeypatch)
    path = tmp_path / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    change(saved)
    torch.save(saved, path)
    with pytest.raises(InvalidInput, match=r"^resume: received .*last\.ckpt; allowed: a .*checkpoint") as told:
        train(config("unrolled"), tmp_path)
    assert "\n" not in str(told.value)


def test_a_table_that_has_lost_a_row_gives_one_line(monkeypatch, tmp_path):
    stopped_run(tmp_path, monkeypatch)
    path = tmp_path / "metrics.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4] + lines[5:]))
    with pytest.raises(InvalidInput, match=r"^metrics: .* a row of every measurement"):
        train(config("unrolled"), tmp_path)


def test_scalars_lost_from_tensorboard_are_written_anew(monkeypatch, tmp_path):
    train(config("unrolled"), tmp_path / "whole")
    stopped_run(tmp_path / "cut", monkeypatch)
    (path,) = events_folder(tmp_path / "cut").iterdir()
    path.write_bytes(path.read_bytes()[:5000])
    train(config("unrolled"), tmp_path / "cut")
    whole, cut = (
        sorted(
            event for event in events(tmp_path / name) if event[0].split("/")[0] not in ("neurons", "configuration")
        )
        for name in ("whole", "cut")
    )
    assert cut == whole


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"config": 3}', "{"])
def test_a_damaged_summary_gives_one_line(text, tmp_path):
    train(config("unrolled"), tmp_path)
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"a whole summary\.json") as told:
        train(config("unrolled"), tmp_path)
    assert "\n" not in str(told.value)


def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "run by the checkpoint"),))

    train(config("unrolled"), tmp_path)
    (tmp_path / "summary.json").unlink()
    torch.save({"gfflow": Evil(), "state_dict": {}}, tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(InvalidInput, match="a whole checkpoint"):
        train(config("unrolled"), tmp_path)
    assert not (tmp_path / "run by the checkpoint").exists()


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "3", "a: [", "a: ${b", "\x00"])
def test_a_damaged_configuration_gives_one_line(text, tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(text)
    (tmp_path / "metrics.csv").write_text("step,time\n0,0.0\n")
    with pytest.raises(InvalidInput, match="the folder of a run") as told:
        configuration_of(str(tmp_path), [])
    assert "\n" not in str(told.value)
    if text != "a: ${b":  # YAML, though not OmegaConf's
        with pytest.raises(InvalidInput, match="a whole YAML file"):
            Run.read(tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_to_a_finished_run_is_one_line_or_harmless(seed, tmp_path):
    """Cut off, flipped, overwritten: what readers get is a finite table, whole frames, or one line."""
    rng = random.Random(seed)
    train(config("unrolled"), tmp_path)
    path = tmp_path / rng.choice(["metrics.csv", "trajectory.npz", "summary.json"])
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    if rng.random() < 0.5:
        del content[at:]
    else:
        content[at] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    try:
        run = Run.read(tmp_path)
        assert run.trajectory is not None and len(run.trajectory.step) == len(run.trajectory.w)
    except InvalidInput as error:
        assert "\n" not in str(error)
