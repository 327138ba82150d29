"""What a person meets on the first day: the command as it is typed, in processes of its own where that matters."""

import copy
import csv
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.errors import HydraException
from rich.console import Console

import gfflow
from gfflow import callbacks as cb
from gfflow.callbacks.progress import PhaseProgress
from gfflow.commands import train as command
from gfflow.commands.failures import one_line, status_of
from gfflow.commands.sweep import forget_refused
from gfflow.errors import Interrupted, InvalidInput
from gfflow.model.files import from_csv
from gfflow.records.event_names import OF_GROUPS
from gfflow.records.files import write_text
from gfflow.records.run import Run
from gfflow.run import build, train
from gfflow.terminal import announce_prediction, closing_table

ROOT = Path(__file__).parents[2]
QUICK = ("figures=false", "verbose=false", "solver.iterations=200", "schedule.linear=10", "schedule.ratio=2")


def run_command(monkeypatch, *overrides: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gfflow-train", *overrides])
    try:
        command.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def started(*arguments: str, cwd: Path, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "gfflow", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding=environment.get("PYTHONIOENCODING"),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "times"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_what_is_said_to_go_on_is_the_runs_own_folder(number, times, tmp_path):
    """Interrupted, resumed and interrupted again, also twice at once: the folder named is the one that is there."""
    folder = "my run, [1]"
    words = [f"hydra.run.dir={folder}", "solver=sgd", "solver.iterations=2000000", *QUICK[:2]]
    for arguments in (words, [f"resume={folder}"]):
        process = started(*arguments, cwd=tmp_path)
        log = tmp_path / folder / "tensorboard"
        before = {path.name for path in log.glob("events*")} if log.exists() else set()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not {path.name for path in log.glob("events*")} - before:
            time.sleep(0.05)
        time.sleep(1.0)
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.1)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 128 + number, error
        assert error.count("\n") == 1 and "go on with \"resume='" in error and folder in error
        assert not (tmp_path / "outputs").exists()


def test_equal_inputs_are_told_before_training_and_their_end_is_a_minimum(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text("x1,x2,y\n1,0,1\n1,0,-1\n0,1,2\n")
    words = ("data=csv", "data.path=mine.csv", "init.scale=1e-3", "solver.lr=1e-2", "figures=false")
    assert run_command(monkeypatch, *words, "hydra.run.dir=run") == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "equal inputs have labels that contradict each other; the least possible loss is 0.333333" in out
    point = json.loads((tmp_path / "run" / "summary.json").read_text())["final"]["point"]
    assert point["kind"] == "local minimum" and "no network has less loss" in point["reason"]


def test_rounding_is_no_rate(tmp_path):
    """In one dimension without bias: half-lines are fitted by least squares, and what is left has no field."""
    values = {"data": {}, "solver": {"name": "flow", "lr": 0.01, "iterations": 40_000}, "figures": False}
    values |= {"verbose": False, "schedule": {"ratio": 2.0}}
    data = ([[-1.0], [-0.3], [1.0]], [0.5, -0.2, 0.7])
    del values["data"]
    assert "parallel inputs" in " ".join(build(values, data).notes)
    point = train(values, tmp_path, data)["final"]["point"]
    assert point["kind"] == "local minimum" and "at the rate" not in point["reason"]


def test_events_do_not_count_where_the_network_has_died(tmp_path):
    summary = train({"solver": {"lr": 10.0}, "figures": False, "verbose": False}, tmp_path)
    reached = {name for name, event in summary["events"].items() if event["measured_step"] is not None}
    assert summary["stop_reason"] == "stationary"  # at the loss of the zero network
    assert reached <= {"plus_leaves_zero", "leaves_zero"}  # which it did, before it overshot


def test_an_event_is_named_by_what_it_is():
    assert OF_GROUPS["plus_fitted"] == "u+ at 99% of its limit"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(name in readme for name in OF_GROUPS.values())


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_output_can_be_printed_in_any_encoding(encoding, tmp_path):
    train({"solver": {"iterations": 500}, "figures": False, "verbose": False}, tmp_path / "run")
    for words in (["verify", "run"], ["report", "run"], ["--help"], ["train", "hydra.run.dir=again", *QUICK[2:]]):
        process = started(*words, cwd=tmp_path, PYTHONIOENCODING=encoding, MPLBACKEND="module://nowhere.backend")
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0 and "Error" not in error, error
        if words[0] == "verify":
            assert "eps = " in out and "<= " in out and "?" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data.path=x.csv",), "data.path: no such key; it belongs to data=csv"),
        (("data=csv", "data.path="), "data.path: received nothing; allowed: the path of a file"),
        (("lr=1",), "did you mean solver.lr?"),
        (("path=x",), "path?"),
        (("experiment=lambda",), "did you mean study/lambda?"),
        (("solver.lr=a{b",), "in quotes: \"solver.lr='a{b'\""),
        (("hydra.run.dir=afile",), "afile: cannot be written (File exists)"),
        (("hydra.run.dir=/proc/none/here",), "choose another folder with hydra.run.dir=DIR"),
        (("-m", "seed=0,1", "hydra.sweep.dir=/proc/none/here"), "choose another folder with hydra.sweep.dir=DIR"),
        (("-sc",), "-sc: received alone"),
        (("--nonsense",), "--nonsense: no such option; --help"),
        (("seed=1", "--cfg"), "--cfg/-c: expected one argument"),
        (("network=null",), "network: received null; allowed: two_layer"),
        (("resume=nowhere",), "the folder of a run (there is no such folder)"),
        (("--resolve",), "--resolve flag can only be used in conjunction with --cfg"),
        (("seed=0,1",), "seed: received 0,1; allowed: one value; with -m, a sweep"),
        pytest.param(
            ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=a"),
            "hydra.launcher.n_jobs=a: Value",
            marks=pytest.mark.skipif(find_spec("joblib") is None, reason="needs the extra sweep"),
        ),
        (("λ=3",), "λ: no such key"),
        (("sol ver=3",), "sol ver: no such key; did you mean solver?"),
        (("=1",), "=1: not of the form KEY=VALUE"),
        (("reprt",), "reprt: not of the form KEY=VALUE; did you mean gfflow-report?"),
        (("experiment=nothing",), "study/lambda"),
        (("experiment=study/lamda",), "experiment: received study/lamda; did you mean study/lambda?; allowed: early"),
        (("data=",), "data: received nothing; allowed: correlated_teacher, csv"),
        (("seed=",), "seed: received nothing; allowed: an integer from 0"),
    ],
)
def test_a_mistake_has_one_line_with_a_hint(words, said, monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").write_text("")
    assert run_command(monkeypatch, *words) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and said in error


def test_a_launcher_that_is_not_installed_is_told_with_its_extra():
    absent = (
        "In 'config': Could not find 'hydra/launcher/joblib'\n\nAvailable options in 'hydra/launcher':\n\tbasic\n"
    )
    said = "hydra/launcher: received joblib; it needs an extra: pip install -e '.[sweep]'; allowed: basic"
    assert one_line(HydraException(absent)) == said


@pytest.mark.parametrize("make", [torch.empty, np.empty])
def test_too_little_memory_is_told_in_one_line(make):
    with pytest.raises((MemoryError, RuntimeError)) as told:
        make(2**58)  # more bytes than a process can have addresses for
    assert status_of(told.value) == 2
    assert re.match(r"not enough memory for so many samples, coordinates and neurons \(.+\)$", one_line(told.value))
    assert status_of(RuntimeError("shapes cannot be multiplied")) == 1


def test_csv_columns_of_any_names(tmp_path):
    path = tmp_path / "mine.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["price", "id", "x size", "age"], [1, 7, 2, 3], [4, 8, 5, 6]])
    data = from_csv(path, columns=["age", "x size"], label="price")
    assert data.x.tolist() == [[3, 2], [6, 5]] and data.y.tolist() == [1, 4]
    with pytest.raises(ValueError, match=r"columns age, weight and price, each once"):
        from_csv(path, columns=["age", "weight"], label="price")
    with pytest.raises(ValueError, match=r"data\.columns=\[NAME,\.\.\.\]"):
        from_csv(path)
    with pytest.raises(ValueError, match=r"data\.label: received price; allowed: a column that is not among"):
        from_csv(path, columns=["age", "price"], label="price")
    path.write_text("1,2,-1.5e3\n3,4,1\n")
    with pytest.raises(ValueError, match="named in its first line"):
        from_csv(path)


@pytest.mark.parametrize(("character", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_csv_file_with_another_delimiter_is_told_so(character, name, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(character.join(("x1", "y")) + "\n" + character.join(("1", "2")) + "\n")
    with pytest.raises(ValueError, match=f"separated by {name}"):
        from_csv(path)


def short_summary(folder):
    """That of a short run of Figure 2, as the terminal is given it."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gfflow.ending.write_summary", lambda path, summary: kept.append(summary))
        train({"solver": {"iterations": 300}, "figures": False, "verbose": False}, folder)
    return kept[0]


@pytest.mark.parametrize("width", [44, 59, 80])
def test_numbers_are_whole_on_a_narrow_terminal(width, tmp_path):
    summary = short_summary(tmp_path)
    assert Run.read(tmp_path).metrics["step"][-1] == 300
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(closing_table(summary, width))
    text = console.export_text()
    assert "1.341641" in text and "14,808" in text and "\N{HORIZONTAL ELLIPSIS}" not in text.split("\n", 3)[3]


@pytest.mark.parametrize("width", [12, 20, 43])
def test_names_can_be_read_on_any_terminal(width, tmp_path):
    summary = short_summary(tmp_path)
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(closing_table(summary, width))
    text = "".join(re.findall(r"[\w.,+-]", console.export_text()))
    assert "u+at99ofitslimitpredicted7,306measurednotreached" in text and "1.341641" in text


def test_a_prediction_of_many_neurons_is_announced(capsys):
    for width, told in ((1000, ""), (10**6, "predicting how 1,000,000 neurons will move")):
        announce_prediction(Console(stderr=True, width=120), width)
        assert capsys.readouterr().err.startswith(told) and bool(told) == (width > 1000)


def test_a_refused_sweep_leaves_nothing(tmp_path):
    """As long as there is nothing but the words of refusal."""
    sweep = tmp_path / "outputs" / "sweep"
    for number in "01":
        write_text(sweep / number / "error.txt", "2")
    write_text(sweep / "multirun.yaml", "")
    write_text(sweep / "1" / "metrics.csv", "")
    assert not forget_refused(sweep) and (sweep / "0" / "error.txt").exists()
    (sweep / "1" / "metrics.csv").unlink()
    assert forget_refused(sweep) and not list(sweep.iterdir())  # the command then takes the folder away too


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong", ["network.width=-3", "optimized_metric=none", "solver.none=1,2", "experiment=fig4,no"]
)
def test_a_sweep_refused_as_a_whole_leaves_no_folder(wrong, tmp_path):
    process = started("train", "-m", "seed=0,1", wrong, cwd=tmp_path)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 2 and "gfflow: " in error and not out and not list(tmp_path.iterdir())


def test_a_notebook_has_a_line_of_progress(monkeypatch, tmp_path):
    """IPython's display is stood in for: what it is given, and that the line is shown anew in its place."""
    import types

    shown = []
    handle = types.SimpleNamespace(update=lambda content, raw: shown.append(content["text/plain"]))
    display = types.ModuleType("IPython.display")
    display.display = lambda content, raw, display_id: shown.append(content["text/plain"]) or handle
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    progress = PhaseProgress(console=Console(force_jupyter=True))
    quiet = {"solver": {"iterations": 300}, "figures": False, "verbose": False}
    train(quiet, tmp_path, callbacks=[progress])
    assert shown[0].startswith("iteration 0 of 300, loss 5.00e-01, early alignment")
    assert shown[-1].startswith("iteration 300 of 300")


def test_a_zero_label_is_told_once():
    notes = build({"solver": {"iterations": 50_000}}, ([[1.0, 0.0], [0.0, 1.0]], [1.0, 0.0])).notes
    assert sum("Assumption 2" in note for note in notes) == 1


QUIET = {"solver": {"iterations": 50}, "figures": False, "verbose": False}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda at: build(QUIET, ([["a", "b"]], [1.0])), "data inputs: received list"),
        (lambda at: build(QUIET, (np.eye(2) * 1j, [1.0, 2.0])), "real numbers"),
        (lambda at: build(QUIET, ([[1.0], [1.0, 2.0]], [1.0, 2.0])), "rows of equal length"),
        (lambda at: build(QUIET, (np.ma.masked_array(np.eye(2), np.eye(2)), [1.0, 2.0])), "received MaskedArray"),
        (lambda at: build(QUIET, (torch.eye(2, device="meta"), [1.0, 2.0])), "data inputs: received Tensor"),
        (lambda at: build(QUIET, 7), "a pair (x, y)"),
        (lambda at: build(QUIET, start=5), "a pair (w, a)"),
        (lambda at: build({"data": "csv"}), "such as {'name': 'csv'}"),
        (lambda at: gfflow.RunConfig(solver={"lr": 1e-3}), "RunConfig.of({...}) makes them of plain values"),
        (lambda at: build({"solver": {"lr": "1e-3"}}), "solver.lr: received '1e-3'; allowed: a number"),
        (lambda at: gfflow.Neurons([[1.0]], [1.0]), "neurons: received w list, a list; allowed: tensors"),
        (lambda at: gfflow.orthonormal(3), "data.labels: received 3"),
        (lambda at: gfflow.draw_start(5, 2, scale=-1.0, seed=0), "init.scale: received -1.0"),
        (lambda at: gfflow.draw_start(5.5, 2, scale=1.0, seed=0), "network.width: received 5.5, of 2 inputs"),
        (lambda at: gfflow.from_csv(5), "data.path: received 5; allowed: the path of a file"),
        (lambda at: gfflow.staircase(gfflow.five_points(), gfflow.draw_start(5, 3, 1.0, 0)), "weights of 3 inputs"),
        (lambda at: gfflow.snapshot_of(3, None), "network: received int"),
        (lambda at: cb.View(step_size=-1), "solver.lr: received -1"),
        (lambda at: cb.View(schedule=5), "a gfflow.Schedule"),
        (lambda at: cb.Measured(cb.Loss), "a measure, such as"),
        (lambda at: train(None, at), "configuration: received None"),
        (lambda at: train(QUIET, None), "folder: received None"),
        (lambda at: train(QUIET, at, solver="flow"), "solver.name"),
        (lambda at: train(QUIET, at, callbacks=["loss"]), "Lightning's callbacks"),
        (lambda at: train(QUIET, at, loggers=True), "Lightning's loggers"),
        (lambda at: Run.read(at), "the folder of a run (with metrics.csv)"),
        (lambda at: gfflow.figures.overview(at), "the folder of a run (with metrics.csv)"),
    ],
)
def test_a_mistake_from_python_names_what_was_given_and_what_to_give(call, said, tmp_path):
    with pytest.raises(InvalidInput) as raised:
        call(tmp_path / "run")
    assert said in str(raised.value) and not list(tmp_path.iterdir())


def test_objects_of_any_kind_are_numbers(tmp_path):
    """Lists, arrays of any number type, tensors that need a gradient, one callback alone, a run by its folder."""
    x, y = [[1, 0], [0, 2]], [1, -1]
    same = [
        (torch.tensor(x).to_sparse(), np.ma.masked_array(y)),
        (x, y),
        (np.array(x), np.array(y, dtype=np.int8)),
        (torch.tensor(x, dtype=torch.float32), tuple(y)),
    ]
    assert len({build(QUIET, pair).training_set.digest for pair in same}) == 1
    drawn = gfflow.draw_start(np.int64(4), 2, scale=np.float64(1.0), seed=np.int64(3))
    assert torch.equal(drawn.w, gfflow.draw_start(4, 2, scale=1.0, seed=3).w)
    w = torch.ones(3, 2, requires_grad=True)
    assert gfflow.staircase(same[0], (w, np.ones(3))).losses[0] == pytest.approx(0.5)
    train(QUIET, tmp_path / "run", same[1], callbacks=cb.Loss())
    assert gfflow.figures.loss(str(tmp_path / "run")) is not None


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_come_whole_out_of_other_processes(again):
    """Of a pool's worker an error that cannot be pickled would break the pool."""
    error = again(InvalidInput("seed", -1, "an integer from 0"))
    assert type(error) is InvalidInput and error.key == "seed"
    assert str(error) == "seed: received -1; allowed: an integer from 0"
    stopped = again(Interrupted(15, 300))
    assert str(stopped) == "interrupted at iteration 300" and stopped.signal == 15


def test_options_are_registered_where_python_drops_docstrings():
    """Of which --help is made: with python -OO it lacks their words, and nothing else."""
    code = (
        "from gfflow.config import RunConfig, DATA_SETS; print(RunConfig().solver.lr, DATA_SETS['csv'].description())"
    )
    told = subprocess.run([sys.executable, "-OO", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["0.002"]
