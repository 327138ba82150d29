"""The registry of measures against real runs, the README and TensorBoard's layout."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gfflow import callbacks as cb
from gfflow.config import RunConfig
from gfflow.model.snapshot import Snapshot
from gfflow.records.dashboard import charts
from gfflow.run import train
from gfflow.scalars import MEASURES, Measure, Scalars, measure, table
from gfflow.scalars.base import over_log_iteration
from gfflow.theory.minimum_norm import installed

ROOT = Path(__file__).resolve().parents[2]
SHORT: dict[str, Any] = {
    "network": {"width": 8},
    "init": {"scale": 1e-2},
    "schedule": {"ratio": 2.0, "linear": 5},
    "figures": False,
    "verbose": False,
}
RUNS: dict[str, dict[str, Any]] = {
    "orthogonal, descent beside the flow": {"solver": {"iterations": 50}, "callbacks": {"flow": True}},
    "with a test set and a teacher": {
        "data": {"name": "noisy_linear", "n": 8, "d": 2, "test_n": 5},
        "solver": {"iterations": 50},
    },
    "classification, with its largest margin": {
        "data": {"name": "orthogonally_separable", "n": 4, "d": 2},
        "loss": "logistic",
        "solver": {"iterations": 50},
        "callbacks": {"minimum_norm": installed()},
    },
    "on a line, along the flow": {"data": {"name": "five_points"}, "solver": {"name": "flow", "iterations": 50}},
}


def columns(folder: Path) -> list[str]:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return next(csv.reader(file))[1:]


@pytest.fixture
def extra() -> Iterator[type[Measure]]:
    """A measure of a test's own, taken away again."""

    @measure("of a test", [Scalars(("test/halves",), "half the iteration")])
    class Halves(Measure):
        def measure(self, snapshot: Snapshot) -> dict[str, float]:
            return {"test/halves": snapshot.iteration / 2}

    yield Halves
    del MEASURES["of a test"]


def test_the_registered_scalars_are_those_that_runs_have_in_this_order(tmp_path: Path) -> None:
    registered = [name for entry in MEASURES.values() for name in entry.names]
    seen: set[str] = set()
    for name, values in RUNS.items():
        train(RunConfig.of({**SHORT, **values}), tmp_path / name)
        found = columns(tmp_path / name)
        assert set(found) <= set(registered)
        owners = [next(entry.name for entry in MEASURES.values() if column in entry.names) for column in found]
        assert list(dict.fromkeys(owners)) == [owner for owner in MEASURES if owner in owners]
        seen |= set(found)
    assert seen == set(registered) - (set() if installed() else {"limit/margin_gap"})


def test_the_readme_has_the_table_of_the_registry() -> None:
    assert table() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_switch_is_a_key_of_the_configuration() -> None:
    switches = {entry.switch for entry in MEASURES.values()} - {None}
    defaults = dataclasses.asdict(RunConfig().callbacks)
    assert all(isinstance(defaults.get(str(switch)), bool) for switch in switches)


def test_without_its_switch_a_measure_logs_nothing(tmp_path: Path) -> None:
    switches = {str(entry.switch) for entry in MEASURES.values()} - {"None"}
    values = {**SHORT, "solver": {"iterations": 20}, "callbacks": dict.fromkeys(switches, False)}
    train(RunConfig.of(values), tmp_path)
    always = {name for entry in MEASURES.values() if entry.switch is None for name in entry.names}
    assert {"loss", "time"} <= set(columns(tmp_path)) <= always


def test_a_registered_measure_is_in_every_run(extra: type[Measure], tmp_path: Path) -> None:
    train(RunConfig.of({**SHORT, "solver": {"iterations": 20}}), tmp_path)
    with open(tmp_path / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["test/halves"]) for row in rows] == [int(row["step"]) / 2 for row in rows]


def test_names_are_registered_once(extra: type[Measure]) -> None:
    for name, scalar in (("of a test", "test/other"), ("another", "test/halves"), ("another", "loss")):
        with pytest.raises(ValueError, match="registered already"):
            measure(name, [Scalars((scalar,), "")])(extra)


def test_charts_and_mirrored_scalars_name_registered_ones() -> None:
    registered = {name for entry in MEASURES.values() for name in entry.names}
    assert over_log_iteration() <= registered
    layout = charts()
    assert next(iter(layout)) == "theory beside measurement" and all(layout.values())
    for kind, tags in (chart for section in layout.values() for chart in section.values()):
        assert kind in ("Margin", "Multiline")
        if kind == "Margin":
            assert set(tags) <= registered


def test_only_charts_with_something_to_draw_are_laid_out() -> None:
    layout = charts(["loss", "alignment/assigned_min", "alignment/assigned_mean"])
    titles = {title for section in layout.values() for title in section}
    assert "loss" in titles and "every neuron with the direction it goes to" in titles  # nothing was predicted
    assert "measured" in layout and not any("predict" in title for title in [*layout, *titles])
    assert "loss and its prediction" in charts(["loss", "theory/loss"])["theory beside measurement"]
    assert not any("S+" in title or "u+" in title or "saddle" in title for title in titles)


def test_what_measures_nothing_cannot_be_made() -> None:
    class Nothing(cb.Measurement):
        pass

    class Neither(Measure):
        pass

    for kind in (Nothing, Neither):
        with pytest.raises(TypeError, match="abstract"):
            kind()  # type: ignore[abstract]
