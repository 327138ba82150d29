"""Training sets of the papers that followed, test sets, and samples from files."""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from gfflow.errors import InvalidInput
from gfflow.model.data import TestSet, TrainingSet, gaussian_teacher, orthogonal_pair
from gfflow.model.data_sets import DATA_SETS
from gfflow.model.examples import (
    correlated_teacher,
    early_alignment,
    four_kinks,
    linear,
    noisy_linear,
    piecewise_linear,
)
from gfflow.model.files import from_file


def test_early_alignment_has_the_papers_three_points() -> None:
    data = early_alignment()
    assert data.x[:, 0].tolist() == [-0.75, -0.5, 0.125] and data.y.tolist() == [1.1, 0.1, 0.8]
    assert data.one_dimensional


def test_piecewise_linear_lies_on_the_interpolant() -> None:
    data = piecewise_linear(400, seed=3)
    x, y = data.x[:, 0].tolist(), data.y.tolist()
    corners = list(
        zip((-1, -0.7, -0.55, -0.4, 0, 0.5, 0.6, 0.7, 1), (0, 0.7, 0.5, 1, 0, 1, 0.6, 0.7, 0), strict=True)
    )
    for xk, yk in zip(x, y, strict=True):
        ((x0, y0), (x1, y1)) = next(pair for pair in itertools.pairwise(corners) if pair[0][0] <= xk <= pair[1][0])
        assert yk == pytest.approx(y0 + (y1 - y0) * (xk - x0) / (x1 - x0), abs=1e-14)
    assert abs(sum(x) / 400) < 5 / math.sqrt(3 * 400)  # five standard errors of a uniform mean


def test_four_kinks_is_its_formula() -> None:
    data = four_kinks(41)
    for xk, yk in zip(data.x[:, 0].tolist(), data.y.tolist(), strict=True):
        f = -max(xk, 0) + max(2 * (xk + 0.3), 0) - max(1.5 * (xk - 0.4), 0) + max(0.5 * (xk - 0.8), 0)
        assert yk == pytest.approx(f, abs=1e-14)


def test_noisy_linear_has_a_teacher_of_norm_one_and_the_same_noise_on_both_sets() -> None:
    data = noisy_linear(n=4000, d=3, noise=0.5, test_n=3000)
    assert data.teacher is not None and data.test is not None
    beta = data.teacher.a @ data.teacher.w
    assert float(beta.norm()) == pytest.approx(2, rel=1e-14)  # two neurons, each of length one: h(x) = <beta/2, x>
    for part in (data, data.test):
        rest = part.y - part.x @ (beta / 2)
        assert float(rest.square().mean()) == pytest.approx(0.25, rel=5 * math.sqrt(2 / len(rest)))
        assert float(part.x.square().mean()) == pytest.approx(1, rel=5 * math.sqrt(2 / part.x.numel()))


def test_more_samples_begin_with_the_same_ones() -> None:
    few, many = noisy_linear(n=7, d=4), noisy_linear(n=300, d=4)
    assert torch.equal(few.x, many.x[:7]) and torch.equal(few.y, many.y[:7])
    assert few.test is not None and many.test is not None and torch.equal(few.test.y, many.test.y)


def test_a_linear_function_is_two_balanced_neurons() -> None:
    beta = torch.tensor([3.0, -4.0], dtype=torch.float64)
    neurons, x = linear(beta), torch.tensor([[1.0, 2.0], [-5.0, 0.3]], dtype=torch.float64)
    assert torch.allclose(neurons.outputs(x), x @ beta, rtol=1e-14)
    assert torch.allclose(neurons.norms, neurons.a.abs())
    assert float(linear(0 * beta).outputs(x).abs().max()) == 0


def test_correlated_teacher() -> None:
    data = correlated_teacher(n=200, d=30, angle=40.0, spread=0.5, test_n=10)
    assert data.teacher is not None and data.test is not None and len(data.teacher.a) == 1
    v = data.teacher.w[0]
    assert float(v.norm()) == pytest.approx(1, rel=1e-14) and bool((data.x @ v > 0).all())
    assert torch.equal(data.y, torch.relu(data.x @ v)) and torch.equal(data.test.y, torch.relu(data.test.x @ v))
    # the mean of the inputs is the unit centre, at 40 degrees from v: <mean, v> up to five standard errors
    error = 5 * 0.5 / math.sqrt(30 * 200)
    assert float(data.x.mean(dim=0) @ v) == pytest.approx(math.cos(math.radians(40)), abs=error)
    with pytest.warns(UserWarning, match="not correlated with the teacher"):
        correlated_teacher(n=50, d=4, angle=85.0)


def test_noise_and_test_samples_change_nothing_of_the_papers_data() -> None:
    plain, more = gaussian_teacher(), gaussian_teacher(noise=0.1, test_n=50)
    assert torch.equal(plain.x, more.x) and plain.test is None and more.test is not None
    assert plain.teacher is not None
    h = torch.relu(plain.x @ plain.teacher.w.T) @ plain.teacher.a
    assert float((h - plain.y).abs().max()) < 1e-5  # its labels are made in float32
    assert float((more.y - plain.y).square().mean()) == pytest.approx(0.01, rel=5 * math.sqrt(2 / 75))


def test_digests_of_data_without_a_test_set_are_those_of_the_samples_alone() -> None:
    data = orthogonal_pair()
    content = struct.pack(
        "<6d", -0.5, 1.0, 2.0, 1.0, -1.0, 1.0
    )  # x row by row, then y: what runs have recorded so far
    assert data.digest == hashlib.sha256(content).hexdigest()
    tested = TrainingSet(data.x, data.y, test=TestSet(data.x, data.y))
    assert data.digest != tested.digest


@pytest.mark.parametrize("name", ["csv", "npz", "npy", "pt", "table.pt"])
def test_samples_from_every_kind_of_file(name: str, tmp_path: Path) -> None:
    x = torch.tensor([[0.1, 2.0], [3.0, -1 / 3]], dtype=torch.float64)
    y = torch.tensor([1.0, -2.5], dtype=torch.float64)
    table = torch.cat([x, y[:, None]], dim=1)
    path = tmp_path / f"samples.{name}"
    if name == "csv":
        path.write_text("x1,x2,y\n" + "".join(",".join(map(repr, row)) + "\n" for row in table.tolist()))
    elif name == "npz":
        np.savez(path, x=x.numpy(), y=y.numpy())
    elif name == "npy":
        np.save(path, table.numpy())
    else:
        torch.save({"x": x, "y": y} if name == "pt" else table, path)
    values = {"name": "file", "path": str(path), "test_path": str(path), "bias": True}
    data = DATA_SETS.of(values).make()
    assert torch.equal(data.x, torch.cat([x, torch.ones(2, 1, dtype=torch.float64)], dim=1))
    assert torch.equal(data.y, y) and data.test is not None and torch.equal(data.test.x, data.x)


def test_faults_of_files_name_the_key(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", x=np.ones((3, 2)), y=np.ones(3))
    np.savez(tmp_path / "narrow.npz", x=np.ones((3, 1)), y=np.ones(3))
    np.savez(tmp_path / "names.npz", inputs=np.ones((3, 2)))
    np.savez(tmp_path / "shapes.npz", x=np.ones((3, 2)), y=np.ones(4))
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "complex.npy", np.array([[1 + 2j, 3.0]]))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:100])
    (tmp_path / "noise.npy").write_bytes(b"noise")
    (tmp_path / "noise.pt").write_bytes(b"(\x80")  # of which torch's reader makes an IndexError
    for name in (
        "names.npz",
        "shapes.npz",
        "words.npy",
        "complex.npy",
        "torn.npz",
        "noise.npy",
        "noise.pt",
        "absent.pt",
    ):
        with pytest.raises(InvalidInput, match=r"^data\.path"):
            from_file(tmp_path / name)
        with pytest.raises(InvalidInput, match=r"^data\.test_path"):
            from_file(tmp_path / "good.npz", test_path=tmp_path / name)
    with pytest.raises(InvalidInput, match=r"^data\.test_path: received 1 in .*; allowed: 2 input coordinates"):
        from_file(tmp_path / "good.npz", test_path=tmp_path / "narrow.npz")
