"""Every scalar of a run, at every measurement, against its definition written out in numpy from the weights."""

import csv

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from gfflow.config import RunConfig
from gfflow.records.dashboard import TELLING
from gfflow.records.folder import events_folder
from gfflow.run import build, train

DATA = {
    "fig2": {"name": "orthogonal_pair"},
    "orthogonal": {"name": "orthonormal", "labels": [1.0, -0.7, 0.4], "norms": [1.0, 2.0, 0.5], "d": 4},
    "five points": {"name": "five_points"},
}


@pytest.fixture(scope="module", params=DATA)
def run(request, tmp_path_factory):
    """Configuration, rows of metrics.csv, and the frames of all weights, one for each row."""
    folder = tmp_path_factory.mktemp("run")
    config = RunConfig.of(
        {
            "data": DATA[request.param],
            "init": {"scale": 1e-2},
            "network": {"width": 50},
            "solver": {"iterations": 4000, "lr": 5e-3},
            "schedule": {"ratio": None, "linear": 60, "frames": 1000},
            "figures": False,
            "verbose": False,
        }
    )
    train(config, folder)
    with open(folder / "metrics.csv", newline="") as file:
        rows = [{k: float(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)]
    with np.load(folder / "trajectory.npz") as file:
        frames = {key: file[key] for key in file}
    assert frames["step"].tolist() == [row["step"] for row in rows]
    return config, rows, frames, folder


def definitions(config: RunConfig, w, a, x, y, start) -> dict[str, float]:
    """The scalars that need no state, from one frame and the first."""
    n = len(y)
    z = w @ x.T
    residuals = y - np.maximum(z, 0).T @ a
    fields = np.array([sum((z[j, k] > 0) * residuals[k] * x[k] for k in range(n)) / n for j in range(len(a))])
    gradient_w, gradient_a = -a[:, None] * fields, -(fields * w).sum(axis=1)
    squared = (gradient_w**2).sum() + (gradient_a**2).sum()
    loss = (residuals**2).sum() / (2 * n)
    norms = np.sqrt((w**2).sum(axis=1))
    w0, a0 = start
    drift = (a**2 - norms**2) - (a0**2 - (w0**2).sum(axis=1))
    own = np.array(
        [np.sign(a[j]) * w[j] @ fields[j] / norms[j] / np.linalg.norm(fields[j]) for j in range(len(a))
         if np.linalg.norm(fields[j]) > 1e-12]
    )  # fmt: skip
    scalars = {
        "loss": loss,
        "gradient/norm": np.sqrt(squared),
        "gradient/pl_ratio": squared / loss,
        "invariant/balance_drift": np.abs(drift).max(),
        "weights/relative_change": np.linalg.norm(w - w0) / np.linalg.norm(w0),
    }
    if len(own):
        scalars |= {"alignment/own_min": own.min(), "alignment/own_mean": own.mean()}
    if config.data.name == "five_points":
        scalars |= {"mass/u_plus": (norms[a > 0] ** 2).sum(), "mass/u_minus": (norms[a < 0] ** 2).sum()}
        return scalars
    outside = np.ones(len(a), dtype=bool)
    for side, sign in (("plus", 1), ("minus", -1)):
        mine = sign * y > 0
        members = (np.sign(a0) == sign) & (w0 @ x[mine].T >= 0).all(axis=1)
        target = sign * (y[mine] @ x[mine])
        cosines = w[members] @ target / norms[members] / np.linalg.norm(target)
        scalars[f"mass/u_{side}"] = (norms[members] ** 2).sum()
        scalars[f"alignment/{side}_min"], scalars[f"alignment/{side}_mean"] = cosines.min(), cosines.mean()
        outside &= ~members
    scalars["mass/other_max"] = norms[outside].max()
    return scalars


def test_every_scalar_equals_its_definition(run):
    """To 1e-9, relative or to the largest weight: the sums are over at most 50 neurons, in another order. Cosines and
    the gradient lose digits by cancellation as the residuals vanish, so they are compared while the loss is above
    1e-12; the drift is itself a cancellation, and compared absolutely."""
    config, rows, frames, _ = run
    start = frames["w"][0], frames["a"][0]
    compared = 0
    for row, w, a in zip(rows, frames["w"], frames["a"], strict=True):
        wanted = definitions(config, w, a, frames["x"], frames["y"], start)
        assert row["time"] == pytest.approx(config.solver.lr * row["step"], rel=1e-15)
        for name, value in wanted.items():
            if row["loss"] > 1e-6:
                assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-14), (name, row["step"])
                compared += 1
    assert compared > 150
    allowed = {"step", "time", *wanted, "saddle/distance", "limit/distance", "limit/norm_gap", "alignment/own_min"}
    allowed |= set() if config.data.name != "five_points" else {"alignment/assigned_min", "alignment/assigned_mean"}
    allowed |= {
        "alignment/own_mean",
        "invariant/reactivations",
        "theory/u_plus",
        "theory/u_minus",
        "theory/loss",
        "saddle/nearest",
    }
    errors = {
        "theory/loss_error": "loss",
        "theory/u_plus_error": "mass/u_plus",
        "theory/u_minus_error": "mass/u_minus",
    }
    for row in rows:
        for name, measured in errors.items():
            predicted = row.get(name.removesuffix("_error"))
            assert (name in row) == (predicted is not None)
            assert predicted is None or row[name] == row[measured] - predicted
    allowed |= set(errors)
    few = {"clusters", "kinks", "nuclear_norm", "stable_rank"}
    assert set().union(*rows) <= allowed | {f"structure/{name}" for name in few}


def test_norms_and_rank_of_the_hidden_weights(run):
    """From the eigenvalues of W^T W, whose square roots are accurate to 1e-8 of the largest."""
    _, rows, frames, _ = run
    known = [(row, w) for row, w in zip(rows, frames["w"], strict=True) if "structure/stable_rank" in row]
    assert len(known) > 3
    for row, w in known:
        values = np.sqrt(np.maximum(np.linalg.eigvalsh(w.T @ w), 0))
        assert row["structure/nuclear_norm"] == pytest.approx(values.sum(), rel=1e-7)
        assert row["structure/stable_rank"] == pytest.approx((w**2).sum() / values.max() ** 2, rel=1e-9)


def test_alignment_with_the_assigned_directions(run):
    """On data that is not orthogonal, by the directions that neurons of this very start, made tiny, are descended to:
    within 1e-2, what descent by steps of 1e-2 leaves. At the start they are still on their way."""
    config, rows, frames, _ = run
    if config.data.name != "five_points":
        assert not any(name.startswith("alignment/assigned") for row in rows for name in row)
        return
    x, y, w, a = (frames[key].copy() for key in ("x", "y", "w", "a"))
    v, b = 1e-10 * w[0], 1e-10 * a[0]
    for _ in range(9000):
        d = ((v @ x.T > 0) * y) @ x / len(y)
        v, b = v + 1e-2 * b[:, None] * d, b + 1e-2 * (d * v).sum(axis=1)
    grown = np.linalg.norm(v, axis=1) > 1e2 * np.linalg.norm(1e-10 * w[0], axis=1)
    targets = v[grown] / np.linalg.norm(v[grown], axis=1)[:, None]
    assert 20 < grown.sum() < 50
    for row, frame in zip(rows, w, strict=True):
        cosines = (frame[grown] * targets).sum(axis=1) / np.linalg.norm(frame[grown], axis=1)
        assert row["alignment/assigned_min"] == pytest.approx(cosines.min(), abs=1e-2)
        assert row["alignment/assigned_mean"] == pytest.approx(cosines.mean(), abs=1e-2)
    assert rows[0]["alignment/assigned_min"] < 0.9


def test_distances_and_predictions_are_those_of_the_prediction(run):
    config, rows, frames, _ = run
    prediction = build(config).prediction
    for row, w, a in zip(rows, frames["w"], frames["a"], strict=True):
        if prediction.limit is None:
            assert "limit/distance" not in row and "saddle/distance" not in row
            continue
        for name, point in (("saddle", prediction.saddles[0].neurons), ("limit", prediction.limit)):
            expected = np.sqrt(((w - point.w.numpy()) ** 2).sum() + ((a - point.a.numpy()) ** 2).sum())
            assert row[f"{name}/distance"] == pytest.approx(expected, rel=1e-12)
        assert row["limit/norm_gap"] == pytest.approx(
            ((w**2).sum() + (a**2).sum()) / 2 / prediction.min_half_norm - 1, rel=1e-12, abs=1e-15
        )
        assert row["theory/u_plus"] == pytest.approx(float(prediction.group("plus").mass(row["time"])), rel=1e-12)


def test_reactivations_count_gates_that_came_on_again(run):
    config, rows, frames, _ = run
    gates = np.einsum("tmd,nd->tmn", frames["w"], frames["x"]) > 0
    counts = np.concatenate([[0], (gates[1:] & ~gates[:-1]).sum(axis=(1, 2)).cumsum()])
    np.testing.assert_array_equal([row["invariant/reactivations"] for row in rows], counts)
    if config.data.name != "five_points":
        assert counts[-1] == 0  # Lemma 6


def test_tensorboard_holds_the_scalars_the_texts_and_the_table(run):
    _, rows, _, folder = run
    events = EventAccumulator(str(events_folder(folder)), size_guidance={"scalars": 0, "histograms": 0})
    events.Reload()
    names = set().union(*rows) - {"step"}
    tags = events.Tags()
    assert names <= set(tags["scalars"])
    for name in names:
        logged = {event.step: event.value for event in events.Scalars(name)}
        assert logged == pytest.approx({row["step"]: row[name] for row in rows if name in row}, rel=1e-6, abs=1e-37)
    assert {"configuration/text_summary", "closing table/text_summary", "_hparams_/session_start_info"} <= set(
        tags["tensors"]
    ) | set(events.summary_metadata)
    assert {"neurons/log10_norm", "neurons/own_cosine"} <= set(tags["histograms"])
    content = events.summary_metadata[metadata.EXPERIMENT_TAG].plugin_data.content
    described = metadata.parse_experiment_plugin_data(content).hparam_infos
    assert {each.name for each in described if each.differs} == set(TELLING)  # what a run alone ticks
    assert not any(each.name.startswith("ensemble") for each in described)
