"""Statements are found by registration: none can be left out of a report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import gfflow.statements
from gfflow.statements import PARTS, Finding, Part, statements, verify
from gfflow.statements.output import as_json, as_markdown, print_report


@pytest.fixture
def part() -> Iterator[Part]:
    """A part of a test's own, taken away again."""
    made = Part("of_a_test", "what a test adds")
    yield made
    PARTS.remove(made)


def test_a_statement_in_a_new_part_is_in_every_report(part: Part, run, capsys) -> None:
    part.statement("Lemma 99", "the loss at the end is not negative", epsilon=False)(
        lambda case: Finding(case.end.loss, ">=", 0.0)
    )
    report = verify(run)
    assert [verdict.word for verdict in report.verdicts if verdict.name == "Lemma 99"] == ["holds"]
    assert "| Lemma 99 | the loss at the end is not negative |" in as_markdown(report)
    rows = [row for section in as_json(report)["sections"] for row in section["statements"]]
    assert [row["part"] for row in rows if row["statement"] == "Lemma 99"] == ["of_a_test"]
    print_report(report)
    printed = capsys.readouterr().out
    assert "Lemma 99" in printed and "what a test adds" in printed


def test_a_name_is_registered_once(part: Part) -> None:
    known = statements()[0]
    with pytest.raises(ValueError, match="registered already"):
        part.statement(known.name, known.says)(known.check)
    with pytest.raises(ValueError, match="registered already"):
        Part("of_a_test", "a second time")


def test_every_file_with_a_part_is_registered() -> None:
    folder = Path(gfflow.statements.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "PART = Part(" in path.read_text(encoding="utf-8")}
    assert {part.name for part in PARTS} == files


def test_outside_the_papers_setting_one_line_stands_for_all_statements(make_run, capsys) -> None:
    report = verify(make_run(data={"name": "five_points"}, solver={"iterations": 300}))
    reason = "inputs are not orthogonal (Assumption 1)"
    silent = sum(verdict.reason == reason for verdict in report.verdicts)
    assert silent > 30
    others = {verdict.reason for verdict in report.verdicts if verdict.outside} - {reason}
    lines = [f"{silent} statements are not applicable: {reason}"]
    lines += [line for line in report.outside if any(line.endswith(other) for other in others)]
    assert sorted(report.outside) == sorted(lines) and len(lines) == 1 + len(others)
    assert as_markdown(report).count(reason) == 1
    print_report(report)
    assert capsys.readouterr().out.count("inputs are not orthogonal") == 1
    rows = [row for section in as_json(report)["sections"] for row in section["statements"]]
    assert sum(row["why"] == reason for row in rows) == silent  # the file keeps a row for each
