"""What is said at the end of an ensemble: prediction beside measurement as median and 90% range over its members."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gfflow.records.closing import COUNTS, FINAL_VALUES, Row, quantity, unpredicted
from gfflow.records.event_names import EVENT_NAMES, SADDLE_EVENT
from gfflow.records.members import Array, Members

EVENT = re.compile(r"events\.(\w+)\.predicted_step")
RANGE = (0.05, 0.95)


def ensemble_sections(members: Members) -> dict[str, list[Row]]:
    """The closing table of an ensemble, as `closing_sections` for a run: in each cell the median, below it the range,
    and last the largest difference of any member between prediction and measurement, with its seed."""
    sections = {
        "iteration of the event": _event_rows(members),
        "at the end": _final_rows(members),
        "least distance to the saddle": _rows_of(members, "of each member", None, "saddle.distance_min"),
    }
    return {title: rows for title, rows in sections.items() if rows}


def events_of(members: Members) -> list[tuple[str, Array, Array]]:
    """(event, predicted steps, measured steps), by members and in the order predicted; NaN where there is none."""
    keys = [match[1] for name in members.columns if (match := EVENT.fullmatch(name))]
    found = [
        (key, members.numbers(f"events.{key}.predicted_step"), members.numbers(f"events.{key}.measured_step"))
        for key in keys
    ]
    return sorted(found, key=lambda event: float(np.nanmedian(event[1])))


def event_title(key: str) -> str:
    """What an event is called."""
    saddle = SADDLE_EVENT.fullmatch(key)
    return f"saddle {saddle[1]} {saddle[2]}" if saddle else EVENT_NAMES[key]


def largest_difference(predicted: Array, measured: Array) -> tuple[int, float] | None:
    """The member, by its place, whose relative difference is the largest, and that; None where none has both."""
    with np.errstate(divide="ignore", invalid="ignore"):
        differences = measured / predicted - 1
    if not np.isfinite(differences).any():
        return None
    at = int(np.nanargmax(np.where(np.isfinite(differences), np.abs(differences), np.nan)))
    return at, float(differences[at])


def failure_lines(members: Members, ensemble: Mapping[str, Any]) -> list[str]:
    """How many starts have an empty S+ or S-, beside how many are expected, and which members have failed."""
    lines = []
    names = {"plus": "S+", "minus": "S-", "either": "S+ or S-"}
    for key, empty in ensemble["empty"].items():
        count, of, chance = empty["count"], empty["of"], empty["probability"]
        if of and (count or chance is not None):
            exact = "" if chance is None else f"; exact probability {_chance(chance, of)}"
            lines.append(f"{names[key]} empty: {count} of {of:,} ({count / of:.2%}{exact})")
    failed = members.failed
    if failed:
        some = "; ".join(f"seed {seed}: {why}" for seed, why in list(failed.items())[:3])
        more = f"; and {len(failed) - 3} more, in ensemble.csv" if len(failed) > 3 else ""
        lines.append(f"failed: {len(failed)} of {len(members):,} ({some}{more})")
    return lines


def _chance(chance: float, of: int) -> str:
    """A probability with the standard error of so many members; no 0.00% where it is small."""
    error = (chance * (1 - chance) / of) ** 0.5
    return f"{chance:.2%} +- {error:.2%}" if chance == 0 or chance >= 5e-5 else f"{chance:.1e} +- {error:.1e}"


def _event_rows(members: Members) -> list[Row]:
    rows = []
    for key, predicted, measured in events_of(members):
        known = np.isfinite(predicted)
        reached = int((known & np.isfinite(measured)).sum())
        missed = f"\n{reached:,} of {int(known.sum()):,} reach it" if reached < known.sum() else ""
        shown = _spread(measured[known], lambda value: f"{value:,.0f}") + missed
        difference = _difference(members, predicted, measured, "+z.2%")
        rows.append((event_title(key), _spread(predicted, lambda value: f"{value:,.0f}"), shown, difference))
    return rows


def _final_rows(members: Members) -> list[Row]:
    rows = []
    for name, predicted, measured in FINAL_VALUES:
        rows += _rows_of(members, name, predicted, measured, _count if name in COUNTS else quantity)
    return rows + _rows_of(members, "clusters (99% of the mass)", None, "structure.clusters", text=_count)


def _rows_of(
    members: Members, name: str, predicted: str | None, measured: str, text: Callable[[float], str] = quantity
) -> list[Row]:
    values = members.numbers(measured)
    if not np.isfinite(values).any():
        return []
    known = np.full(len(members), np.nan) if predicted is None else members.numbers(predicted)
    there = bool(np.isfinite(known).any())
    title = name if there or predicted is None else unpredicted(name)
    difference = _difference(members, known, values, "+.1e") if there else ""
    return [(title, _spread(known, text) if there else "", _spread(values, text), difference)]


def _count(value: float) -> str:
    """A number of things; a median of them may lie in the middle between two."""
    return f"{value:,g}"


def _spread(values: Array, text: Callable[[float], str]) -> str:
    values = values[np.isfinite(values)]
    if not len(values):
        return "not reached"
    low, high = (text(float(value)) for value in np.quantile(values, RANGE))
    median = text(float(np.median(values)))
    return median if low == high == median else f"{median}\n{low} to {high}"


def _difference(members: Members, predicted: Array, measured: Array, form: str) -> str:
    found = largest_difference(predicted, measured)
    return "" if found is None else f"{found[1]:{form}}\nseed {members.seeds[found[0]]}"
