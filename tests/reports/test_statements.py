"""The figure of margins over lambda: from verification files written by hand."""

import json
import math

import pytest

from gfflow.errors import InvalidInput
from gfflow.reports.jobs import Sweep
from gfflow.reports.statements import begins, exponent, margin, read_panels, statements, worse


def row(measured: float | None, bound: float, relation: str = "<=", verdict: str = "holds", **values) -> dict:
    filled = {"statement": "Lemma 2 (i)", "measured": measured, "bound": bound, "relation": relation}
    return {**filled, "verdict": verdict, "why": "", "empty": False, "two_runs": False, **values}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row(0.01, 1.0), 2.0),
        (row(10.0, 1.0, verdict="violated"), -1.0),
        (row(10.0, 1.0, ">="), 1.0),
        (row(0.1, 1.0, ">", verdict="violated"), -1.0),
        (row(0.0, 0.0), math.inf),
        (row(3.0, 0.0, verdict="violated"), -math.inf),
        (row(None, 5.0, verdict="violated"), -math.inf),
    ],
)
def test_margin_is_positive_where_the_statement_holds(given: dict, expected: float) -> None:
    assert margin(given) == pytest.approx(expected, abs=1e-12)  # rounding of a logarithm


def test_no_margin_where_not_applicable() -> None:
    assert math.isnan(margin(row(None, 1.0, verdict="not applicable")))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(1.0, 2.0, 1.0), (-1.0, 2.0, -1.0), (1.0, math.nan, math.nan), (-1.0, math.nan, -1.0), (math.inf, 3.0, 3.0)],
)
def test_the_worse_of_two_seeds_does_not_depend_on_their_order(one: float, other: float, expected: float) -> None:
    for pair in ((one, other), (other, one)):
        assert worse(*pair) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("margins", "expected"),
    [
        ({1e-2: 1.0, 1e-4: 1.0}, 1e-2),
        ({1e-2: -1.0, 1e-4: 1.0, 1e-6: 0.0}, 1e-4),
        ({1e-2: 1.0, 1e-4: -1.0, 1e-6: 1.0}, 1e-6),  # holding again for larger lambda does not count
        ({1e-2: 1.0, 1e-4: math.nan, 1e-6: 1.0}, 1e-6),
        ({1e-2: 1.0, 1e-4: -1.0}, None),
    ],
)
def test_lambda_star_is_where_it_holds_for_good(margins: dict, expected: float | None) -> None:
    assert begins(margins) == expected


def test_a_lambda_between_powers_of_ten_is_not_called_one() -> None:
    """1e-4 / sqrt(60) = 10^-4.889."""
    assert exponent(1e-4 / 60**0.5) == "-4.9"
    assert exponent(1e-60) == "-60"


def test_figure_shows_every_statement_once_and_the_worst_of_the_seeds(write_job, tmp_path) -> None:
    for number, (scale, measured) in enumerate([(1e-2, 3.0), (1e-4, 0.5), (1e-4, 0.1)]):
        folder = write_job(number, {"init.scale": str(scale), "seed": str(number)}, scale)
        verdict = "holds" if measured <= 1 else "violated"
        rows = [row(measured, 1.0, verdict=verdict), row(0.1, 1.0), row(1.0, 1.0, statement="B.2")]
        section = {"epsilon": 0.1, "constants": "sharp", "statements": rows}
        without = {"epsilon": None, "constants": None, "statements": [row(1.0, 1.0, statement="Eq. 4")]}
        (folder / "verification.json").write_text(json.dumps({"lambda": scale, "sections": [without, section]}))
    sweep = Sweep.read(tmp_path / "sweep")
    panel = read_panels(sweep)["sharp"]
    assert list(panel.margins) == ["Lemma 2 (i)", "Lemma 2 (i)′"]
    assert panel.margins["Lemma 2 (i)"][1e-4] == pytest.approx(math.log10(2), abs=1e-12)
    figure = statements(sweep)
    assert figure is not None
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(panel.margins)
    assert [text.get_text() for text in axes.texts] == ["×"]  # one violated cell
    (folder / "verification.json").write_text("{")
    with pytest.raises(InvalidInput, match="verification"):
        statements(sweep)


def test_no_figure_of_runs_that_were_not_verified(write_job, tmp_path) -> None:
    write_job(0, {"init.scale": "1e-2"})
    assert statements(Sweep.read(tmp_path / "sweep")) is None
