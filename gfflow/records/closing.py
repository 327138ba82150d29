"""What is said at the end of a run, as rows of text: prediction beside measurement."""

from __future__ import annotations

from gfflow.records.event_names import EVENT_NAMES, SADDLE_EVENT
from gfflow.records.summary import Nearest, Summary
from gfflow.records.tidy import flat

BASELINE_NAMES = {"least_squares": "least squares", "minimum_norm": "the least norm"}
Row = tuple[str, str, str, str]  # name, predicted, measured, difference
MINIMUM = "theory.min_half_norm"
FINAL_VALUES = (  # name, and where in summary.json the prediction and the measurement are
    ("u+", "theory.u_plus_limit", "final.u_plus"),
    ("u-", "theory.u_minus_limit", "final.u_minus"),
    ("1/2 ||theta||^2, minimum norm", MINIMUM, "final.half_norm_squared"),
    ("distance to the limit", None, "final.limit_distance"),
    ("distance to the flow", None, "flow.distance_final"),
    ("loss", None, "final.loss"),
    ("normalized margin, largest", MINIMUM, "final.normalized_margin"),
    ("misclassified samples", None, "final.errors"),
    ("loss on the test set", None, "final.test_loss"),
    ("distance to least squares, test inputs", None, "final.least_squares_distance"),
    ("angle with the teacher", None, "final.teacher_angle"),
    ("distance to the teacher", None, "final.teacher_distance"),
)

COUNTS = ("misclassified samples",)


def closing_sections(summary: Summary) -> dict[str, list[Row]]:
    """What the closing table says, section by section: events by iteration, then the end, then the saddle; a section
    without anything to say is left out."""
    sections = {
        "iteration of the event": _event_rows(summary),
        f"at the end, iteration {summary.iterations:,}": _final_rows(summary),
        "least distance to the saddle": _saddle_rows(summary.saddle),
    }
    return {title: rows for title, rows in sections.items() if rows}


def _event_rows(summary: Summary) -> list[Row]:
    rows = []
    known = [(key, event) for key, event in summary.events.items() if event is not None]
    for key, event in sorted(known, key=lambda item: item[1].predicted_step):
        predicted, measured = event.predicted_step, event.measured_step
        shown = "not reached" if measured is None else f"{measured:,.0f}"
        difference = "" if measured is None or predicted == 0 else f"{measured / predicted - 1:+z.2%}"
        rows.append((_event_name(key, summary), f"{predicted:,.0f}", shown, difference))
    return rows


def _event_name(key: str, summary: Summary) -> str:
    found = SADDLE_EVENT.fullmatch(key)
    if found is None:
        return EVENT_NAMES[key]
    number = int(found[1])
    return f"saddle {number} (loss {summary.theory.saddles[number - 1].loss:.4g}) {found[2]}"


def _final_rows(summary: Summary) -> list[Row]:
    found = dict(flat(summary.to_dict()))
    margins = (
        summary.final.errors is not None
    )  # a loss of classification: the minimum is that of margins of at least 1
    rows = []
    for name, predicted, measured in FINAL_VALUES:
        known = None if predicted is None else found[predicted]
        if margins and predicted == MINIMUM:
            known = None if known is None or not measured.endswith("margin") else 1 / (2 * known)
        elif measured.endswith("margin"):
            known = None
        if found[measured] is not None:
            title = name if predicted is None or known is not None else unpredicted(name)
            rows.append(_value_row(title, known, found[measured]))
        if measured == "final.test_loss":
            rows += [_value_row(*row) for row in _baselines(summary)]  # type: ignore[arg-type]
    kinks, clusters = summary.structure.kinks, summary.structure.clusters
    if clusters is not None:
        rows.append(("clusters (99% of the mass)", "", str(clusters), ""))
    if kinks is not None:
        rows.append(("kinks of h(x) around the data", "", str(len(kinks)), ""))
    return rows


def _baselines(summary: Summary) -> list[tuple[str, float | None, float | None]]:
    """The same losses of what there is to compare with, where there is a test set."""
    rows: list[tuple[str, float | None, float | None]] = []
    for key, baseline in summary.baselines.items():
        if baseline.test_loss is not None:
            rows += [
                (f"  of {BASELINE_NAMES[key]}", None, baseline.test_loss),
                (f"  of {BASELINE_NAMES[key]}, training", None, baseline.loss),
            ]
    return rows


def _saddle_rows(saddle: Nearest) -> list[Row]:
    if saddle.distance_min is None:
        return []
    return [_value_row(f"at iteration {saddle.step:,}", None, saddle.distance_min)]


def _value_row(name: str, predicted: float | None, measured: float) -> Row:
    if predicted is None:
        return name, "", f"{measured:,.0f}" if name in COUNTS else quantity(measured), ""
    difference = f"{measured / predicted - 1:+.1e}" if predicted else ""
    return name, quantity(predicted), quantity(measured), difference


def unpredicted(name: str) -> str:
    """The name of a value where nothing is predicted beside it."""
    return name.partition(",")[0]


def quantity(value: float) -> str:
    """A measured value as text."""
    return f"{value:.6f}" if 1e-2 <= value < 1e6 else f"{value:.2e}"


def end_point_line(summary: Summary) -> str | None:
    """What kind of point of positive loss the run has ended at, in one line; None where it was on its way."""
    point = summary.final.point
    if point is None:
        return None
    loss = "" if point.loss is None else f", loss {point.loss:.6g}"
    widths = "" if point.widths is None else f"; {point.widths}"
    return f"end point    {point.kind}{loss}: {point.reason}{widths}"
