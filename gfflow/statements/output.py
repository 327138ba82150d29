"""The verdicts on a run as people and programs read them: a table for the terminal, text for TensorBoard, JSON."""

from __future__ import annotations

import json
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from gfflow.printing import SpellingConsole
from gfflow.records.files import write_text
from gfflow.statements.base import Verdict
from gfflow.statements.verdicts import Report, Section

WIDE = 120  # columns of a terminal, from which on there is room for what the statements say
COLOURS = {"holds": "green", "violated": "bold red", "not applicable": "dim"}


def _number(value: float) -> str:
    if abs(value) < 1e7 and value == int(value):
        return f"{int(value):,}"
    digits = 2 if 0 < abs(value) < 1e-99 or -1e-3 < value < 0 else 3
    return f"{value:.{digits}g}"


def cells(verdict: Verdict) -> tuple[str, str, str, str]:
    """What the table shows of a verdict: measured, bound with its relation, room, verdict."""
    finding = verdict.finding
    if finding is None:
        return "", "", "", f"not applicable: {verdict.reason}"
    room = "" if finding.room is None else f"{finding.room:.2g}"
    word = f"{verdict.word}, but says nothing" if verdict.empty else verdict.word
    note = f"; {finding.note}" if finding.note else ""
    sign = {"<=": "≤", ">=": "≥"}.get(finding.relation, finding.relation)
    return _number(finding.measured), f"{sign} {_number(finding.bound)}", room, word + note


def table(section: Section, wide: bool = True) -> Table:
    """The section's verdicts for a terminal WIDE columns wide or, without what each statement says, 80."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, width, justify in (
        ("statement", 15, "left"),
        ("what it says", 46, "left"),
        ("measured", 9, "right"),
        ("bound", 11, "right"),
        ("room", 8, "right"),
        ("verdict", 19, "left"),
    ):
        if wide or name != "what it says":
            drawn.add_column(name, width=width, justify=justify)  # type: ignore[arg-type]
    for part, group in groupby(section.shown, key=itemgetter(0)):
        drawn.add_row(*([""] if wide else []), f"[italic]{part.title}[/]")
        for _, verdict in group:
            *numbers, word = cells(verdict)
            colour = "yellow" if verdict.empty else COLOURS[verdict.word]
            says = [escape(verdict.says)] if wide else []
            drawn.add_row(escape(verdict.name), *says, *numbers, f"[{colour}]{escape(word)}[/]")
    return drawn


def print_report(report: Report) -> None:
    """Prints the notes, one table for each epsilon, and how many statements hold; 120 columns wide into a file."""
    console = SpellingConsole()
    if not console.is_terminal:
        console = SpellingConsole(width=WIDE)
    wide = console.width >= WIDE
    for note in report.notes:
        console.print(f"[yellow]note[/]  {escape(note)}", highlight=False)
    for line in report.outside:
        console.print(f"[yellow]note[/]  {escape(line)}", highlight=False)
    for section in report.sections:
        if not section.shown:
            continue
        console.rule(f"[bold]{escape(section.title)}[/]", align="left")
        if section.times:
            times = ", ".join(f"{name} {i:,}" for name, i in section.times.items())
            console.print(f"iterations: {times}", highlight=False)
        for note in section.notes:
            console.print(f"[yellow]note[/]  {escape(note)}", highlight=False)
        console.print(table(section, wide))
    counts = ", ".join(f"{report.count(word)} {word}" for word in COLOURS)
    console.print(
        f"{counts}; room = measured / bound: at most 1 for ≤ and <, at least 1 for ≥ and >", highlight=False
    )
    if report.count("violated"):
        console.print(
            "violated: not so at this λ and ε. The paper's lemmas are for orthonormal inputs and for λ small enough, "
            "and B.2 as printed admits too large an ε.",
            highlight=False,
        )
    if not wide:
        console.print(f"what each statement says: in verification.json, or here from {WIDE} columns on")


def as_markdown(report: Report) -> str:
    """The same as text for TensorBoard."""
    lines = [f"- {note}" for note in (*report.notes, *report.outside)]
    for section in report.sections:
        if not section.shown:
            continue
        lines += [
            "",
            f"**{section.title}**",
            "",
            *(f"- {note}" for note in section.notes),
            "",
            "| statement | what it says | measured | bound | room | verdict |",
        ]
        lines += ["|---|---|--:|--:|--:|---|"]
        for _, verdict in section.shown:
            row = " | ".join((verdict.name, verdict.says.replace("|", "\\|"), *cells(verdict)))
            lines.append(f"| {row} |")
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    """The same as plain values; what is not applicable or not finite is null."""

    def plain(verdict: Verdict) -> dict[str, Any]:
        finding = verdict.finding
        measured = None if finding is None else _finite(finding.measured)
        return {
            "statement": verdict.name,
            "says": verdict.says,
            "measured": measured,
            "relation": None if finding is None else finding.relation,
            "bound": None if finding is None else _finite(finding.bound),
            "room": None if finding is None else finding.room,
            "empty": None if finding is None else finding.empty,
            "verdict": verdict.word,
            "two_runs": verdict.two_runs,
            "why": verdict.reason if finding is None else finding.note,
        }

    return {
        "run": report.run,
        "other_run": report.other,
        "lambda": report.scale,
        "notes": report.notes,
        "sections": [
            {
                "title": section.title,
                "epsilon": section.epsilon,
                "constants": section.constants,
                "iterations": section.times,
                "notes": section.notes,
                "statements": [{"part": part.name, **plain(verdict)} for part, verdict in section.verdicts],
            }
            for section in report.sections
        ],
    }


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def write(report: Report, folder: Path) -> Path:
    """Writes verification.json into the run's folder, whole or not at all."""
    path = folder / "verification.json"
    text = json.dumps(as_json(report), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")
    return path
