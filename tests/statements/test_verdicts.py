"""Whole reports: of runs that are as the paper assumes, and of runs that are not."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gfflow.commands.verify import main
from gfflow.config import RunConfig
from gfflow.errors import InvalidInput
from gfflow.records.folder import events_folder
from gfflow.records.run import Run
from gfflow.run import train
from gfflow.statements import Report, verify
from gfflow.statements.base import Finding
from gfflow.statements.output import as_json, as_markdown, print_report, table, write


def words(report: Report, constants: str | None = None) -> dict[str, list[str]]:
    """The verdicts' words by statement, of the section for those constants of B.2; None: all sections."""
    chosen = [s for s in report.sections if constants in (None, s.constants)]
    found: dict[str, list[str]] = {}
    for section in chosen:
        for _, verdict in section.verdicts:
            found.setdefault(verdict.name, []).append(verdict.word)
    return found


@pytest.fixture(scope="module")
def report(run) -> Report:
    return verify(run)


def test_everything_that_the_sharp_constants_promise_holds(report: Report) -> None:
    """All but the statements on two runs, which have no second run here."""
    sections = {section.constants: section for section in report.sections}
    assert list(sections) == [None, "as printed", "sharp"]
    missing = [
        v.name
        for section in (sections[None], sections["sharp"])
        for part, v in section.shown
        if v.word != "holds" and part.name != "trajectory"
    ]
    assert missing == ["Theorem 1", "Lemma 12"]


def test_two_values_of_epsilon_are_the_ends_of_what_b2_admits(report: Report) -> None:
    """By hand for labels 20, -10 on unit inputs: r = 2, n = 2, ||D+|| = 10, ||D-|| = 5. Printed: alpha = beta = 2, so
    (1 + 3e)/2 = 1 - e. Sharp: alpha = beta = 1/2, so (1 + 6e)/2 = 1 - e is the smaller one."""
    epsilons = {section.constants: section.epsilon for section in report.sections}
    assert epsilons["as printed"] == pytest.approx(0.2, rel=1e-12)
    assert epsilons["sharp"] == pytest.approx(0.125, rel=1e-12)
    assert words(report, "as printed")["B.2"] == ["holds", "violated"]
    assert words(report, "sharp")["B.2"] == ["holds", "holds"]


def test_recorded_frames_stand_exactly_on_the_theorys_times(run, report: Report) -> None:
    steps = set(run.trajectory.step.tolist())
    for section in report.sections[1:]:
        times = section.times.values()
        assert len(section.times) == 7
        assert all(i in steps for i in times if i <= run.summary["iterations"])


def test_signs_change_roles_where_the_negative_labels_are_fitted_first(make_run, settings, report: Report) -> None:
    """With the labels' signs swapped the same statements hold, about S- first."""
    swapped = verify(make_run(**{**settings, "data": {"name": "orthonormal", "labels": [-20.0, 10.0]}}))
    assert words(swapped, "sharp") == words(report, "sharp")
    says = {verdict.name: verdict.says for verdict in swapped.verdicts}
    assert "-D-" in says["Lemma 2 (i)"] and "S-" in says["Lemma 2 (i)"]


def tampered(run: Run, folder: Path, **changes) -> Run:
    """A copy of the run whose recorded arrays are changed by functions."""
    shutil.copytree(run.folder, folder)
    with np.load(folder / "trajectory.npz") as file:
        arrays = {key: file[key] for key in file}
    for key, change in changes.items():
        arrays[key] = change(arrays[key])
    np.savez(folder / "trajectory.npz", **arrays)
    return Run.read(folder)


def test_labels_shuffled_after_training_flip_verdicts(run, report: Report, tmp_path) -> None:
    flipped, before = words(verify(tampered(run, tmp_path / "run", y=lambda y: y[::-1]))), words(report)
    for name in ("Lemma 2 (i)", "Lemma 2 (ii)", "Lemma 8 (iii)", "Lemma 12"):
        assert "holds" not in flipped[name] and "holds" in before[name], name
    for name in ("Proposition 1", "Theorem 1"):
        assert "violated" in flipped[name] and "violated" not in before[name], name


def test_a_neuron_moved_by_hand_flips_verdicts(run, report: Report, tmp_path) -> None:
    def move(w: np.ndarray) -> np.ndarray:
        w[-1, 0] = 5.0
        return w

    moved = words(verify(tampered(run, tmp_path / "run", w=move)))
    for name in ("Proposition 1", "Theorem 2", "Lemma 1"):
        assert "violated" in moved[name] and "violated" not in words(report)[name]


def test_a_run_started_unbalanced_violates_eq_4_and_lemmas_do_not_apply(make_run, settings) -> None:
    start = {"scale": 1e-3, "balanced": False}
    found = words(verify(make_run(**{**settings, "init": start, "solver": {"iterations": 3000}})))
    assert found["Eq. 4"] == ["violated"]
    assert set(found["Lemma 2 (i)"] + found["Fact 1"]) == {"not applicable"}


def test_on_data_that_is_not_orthogonal_the_report_says_so(make_run) -> None:
    report = verify(make_run(data={"name": "five_points"}, solver={"iterations": 300}))
    assert words(report)["Assumption 1"][0] == "violated"
    reasons = {v.reason for v in report.verdicts if v.word == "not applicable"}
    assert "inputs are not orthogonal (Assumption 1)" in reasons
    assert report.sections[-1].epsilon is None  # no epsilon, no number from nowhere
    json.dumps(as_json(report), allow_nan=False)


def test_a_run_that_ended_early_is_told_from_one_that_violates(make_run, settings) -> None:
    early = verify(make_run(**{**settings, "solver": {"lr": 1e-3, "iterations": 10_000}}))
    verdicts = {verdict.name: verdict for verdict in early.verdicts}
    assert verdicts["Lemma 2 (i)"].word == "holds"
    assert verdicts["Fact 1"].word == "not applicable" and "ended before" in verdicts["Fact 1"].reason


def test_table_text_and_json_tell_the_same(report: Report, tmp_path, capsys) -> None:
    print_report(report)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120 and [line for line in lines if "…" in line] == []
    data = json.loads(write(report, tmp_path).read_text())
    rows = [row for section in data["sections"] for row in section["statements"]]
    assert [row["verdict"] for row in rows] == [verdict.word for verdict in report.verdicts]
    assert as_markdown(report).count("| holds") == sum(row["verdict"] == "holds" for row in rows)
    for section in report.sections:
        assert table(section).row_count >= len(section.shown)


def test_room_is_measured_over_bound_and_nan_never_holds() -> None:
    assert Finding(1.0, "<=", 4.0).room == 0.25
    assert Finding(1.0, "<=", 0.0).room is None
    assert not Finding(float("nan"), "<=", 1.0).holds and not Finding(float("nan"), ">=", 1.0).holds
    assert Finding(0.5, "<=", 2.0, empty_from=2.0).empty and not Finding(0.5, "<=", 1.9, empty_from=2.0).empty


def test_verify_at_the_end_of_a_run_writes_json_and_text(tmp_path) -> None:
    values = {"figures": False, "verbose": False, "verify": True, "solver": {"iterations": 200}}
    train(RunConfig.of({**values, "schedule": {"ratio": 2.0, "linear": 5}}), tmp_path)
    assert json.loads((tmp_path / "verification.json").read_text())["lambda"] > 0
    assert "verification/text_summary" in texts(tmp_path)
    with pytest.raises(InvalidInput, match=r"verify.*callbacks\.trajectory=true"):
        train(RunConfig.of({**values, "callbacks": {"trajectory": False}}), tmp_path / "other")


def texts(folder: Path) -> list[str]:
    events = EventAccumulator(str(events_folder(folder)))
    events.Reload()
    return events.Tags()["tensors"]


def test_command_prints_and_writes(run, larger, tmp_path, capsys) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    main([str(tmp_path / "run"), str(larger.folder), "--epsilon", "0.125"])
    assert "Lemma 14" in capsys.readouterr().out
    data = json.loads((tmp_path / "run" / "verification.json").read_text())
    assert data["other_run"] == str(larger.folder)
    assert [section["epsilon"] for section in data["sections"]] == [None, 0.125]
    assert "verification/text_summary" in texts(tmp_path / "run")


def test_command_refuses_what_is_no_finished_run(run, tmp_path, capsys) -> None:
    shutil.copytree(run.folder, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "summary.json").unlink()
    for arguments, key in (
        ([str(tmp_path / "nowhere")], "metrics"),
        ([str(tmp_path / "unfinished")], "finished run"),
        ([str(run.folder), "--epsilon", "-1"], "--epsilon"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert key in error and error.count("\n") == 1


def test_reports_are_values(report: Report) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.run = "other"  # type: ignore[misc]
