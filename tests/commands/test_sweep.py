"""Sweeps: launchers, failures across processes, what is optimised, interruption, and the studies."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console

from gfflow.commands import train as command
from gfflow.commands.jobs import RECORDS, Ended, Watch, count_summaries, number_at
from gfflow.commands.launchers import sessions_of_their_own
from gfflow.commands.metric import check_metric
from gfflow.commands.sweep import THREADS, OneThreadPerJob, RecordSweep, one_of_each_kind
from gfflow.config import RunConfig
from gfflow.errors import InvalidInput
from gfflow.records.run import Run
from gfflow.records.tidy import flat, is_number
from gfflow.reports import Sweep
from gfflow.run import train

ROOT = Path(__file__).parents[2]
QUICK = ("figures=false", "verbose=false", "solver.iterations=200", "schedule.linear=10", "schedule.ratio=2")
STUDIES = sorted(path.stem for path in (command.CONF / "experiment" / "study").glob("*.yaml"))


def run_command(monkeypatch, *overrides: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gfflow-train", *overrides])
    command.main()


def start(folder: Path, *overrides: str) -> subprocess.Popen:
    """The command in a process group of its own, as a terminal's shell starts it: SIGINT is not ignored, even where
    the tests themselves were started with & and ignore it."""
    arguments = [sys.executable, str(ROOT / "scripts" / "train.py"), *overrides]
    return subprocess.Popen(
        arguments,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_number_at_follows_a_dotted_path() -> None:
    summary = {"final": {"loss": 0.25, "norm_gap": None}, "events": {"aligned": None}, "seed": 3, "name": "fig2"}
    assert number_at(summary, "final.loss") == 0.25
    assert number_at(summary, "seed") == 3
    assert number_at(summary, "final.norm_gap") != number_at(summary, "final.norm_gap")  # NaN
    assert str(number_at(summary, "events.aligned.measured_step")) == "nan"
    for path, said in {
        "final.los": "loss, norm_gap",
        "loss": "final, events",
        "seed.x": "value",
        "name": "number",
    }.items():
        with pytest.raises(InvalidInput, match=said):
            number_at(summary, path)


def test_a_run_returns_its_optimized_metric_to_the_sweeper(monkeypatch, tmp_path: Path) -> None:
    returned = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        RecordSweep, "on_job_end", lambda self, config, job_return, **_: returned.append(job_return.return_value)
    )
    metric = "optimized_metric=theory.u_minus_limit"
    run_command(monkeypatch, "-m", *QUICK, metric, "seed=0,1", "hydra.sweep.dir=sweep")
    assert returned == [pytest.approx(2 / 5**0.5, rel=1e-14)] * 2  # ||beta-|| of Figure 2's data
    assert all(type(value) is float for value in returned)


@pytest.mark.slow
def test_optuna_finds_the_least_metric_and_goes_on_after_a_failed_trial(monkeypatch, capfd, tmp_path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    monkeypatch.chdir(tmp_path)
    optuna = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=8", "hydra.sweeper.sampler.seed=1")
    searched = ("optimized_metric=theory.lambda", "network.width=choice(0,5,20)")  # lambda = scale / sqrt(width)
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, "-m", *QUICK, *optuna, *searched, "hydra.sweep.dir=sweep")
    assert ended.value.code == 2 and "network.width: received 0" in capfd.readouterr().err
    found = OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml")
    assert found.best_params == {"network.width": 20}
    assert found.best_value == pytest.approx(1e-6 / 20**0.5, rel=1e-12)


@pytest.mark.parametrize("words", [("hydra.run.dir=run",), ("-m", "seed=0,1", "hydra.sweep.dir=run")])
def test_an_optimized_metric_that_no_run_has_is_refused_once_and_before_training(
    words, monkeypatch, capfd, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gfflow.run.train", lambda *_, **__: pytest.fail("a run has begun"))
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, *words, *QUICK, "optimized_metric=final.lost")
    error = capfd.readouterr().err
    assert ended.value.code == 2 and error.count("\n") == 1
    assert "norm_gap" in error and "did you mean final.loss?" in error


def test_an_optimized_metric_that_this_run_lacks_is_bad_input_and_keeps_the_run(monkeypatch, capfd, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, *QUICK, "optimized_metric=events.saddle_7_left.measured_step", "hydra.run.dir=run")
    error = capfd.readouterr().err
    assert ended.value.code == 2 and error.count("\n") == 1 and "saddle_1_left" in error
    assert Run.read(tmp_path / "run").summary is not None


@pytest.mark.parametrize("values", [{}, {"solver": {"name": "flow"}}, {"ensemble": {"size": 2, "processes": 1}}])
def test_every_number_of_a_summary_is_an_optimized_metric(values, tmp_path) -> None:
    values |= {"figures": False, "verbose": False, "solver": {**values.get("solver", {}), "iterations": 50}}
    summary = train(values, tmp_path)
    for path, value in flat(summary):
        if is_number(value):
            check_metric(path, ensemble="ensemble" in values)
            with pytest.raises(InvalidInput):
                check_metric(f"x{path}", ensemble=True)


@pytest.mark.parametrize(("launcher", "set_to"), [("x.JoblibLauncher", "1"), ("hydra.BasicLauncher", None)])
def test_parallel_jobs_get_one_thread_each_and_the_environment_comes_back(launcher, set_to, monkeypatch) -> None:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")  # a person's own choice stays
    config = OmegaConf.create({"hydra": {"launcher": {"_target_": launcher}}})
    callback = OneThreadPerJob()
    callback.on_multirun_start(config)
    assert [os.environ.get(name) for name in THREADS] == [set_to, "3", set_to, set_to]
    callback.on_multirun_end(config)
    assert [os.environ.get(name) for name in THREADS] == [None, "3", None, None]


def test_a_failure_mended_by_resuming_the_sweep_is_forgotten(monkeypatch, capfd, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = ("-m", *QUICK, "seed=0,1", "hydra.sweep.dir=sweep", "resume=auto")
    with pytest.raises(SystemExit):
        run_command(monkeypatch, *sweep, "network.width=0")
    capfd.readouterr()
    run_command(monkeypatch, *sweep, "network.width=5")
    assert capfd.readouterr().err == ""
    assert not list((tmp_path / "sweep").glob("*/error.txt"))
    (tmp_path / "sweep" / "1" / "summary.json").unlink()
    run_command(monkeypatch, "-m", *QUICK, "seed=0,1", "hydra.sweep.dir=sweep", "network.width=5", "resume=true")
    assert Sweep.read(tmp_path / "sweep").keys == []  # no key is swept because one job alone went on


@pytest.mark.parametrize("subdir", ["a/${hydra:job.num}", "${hydra:job.override_dirname}/x", "."])
def test_a_failed_job_is_listed_wherever_the_jobs_lie(subdir, monkeypatch, capfd, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command(
            monkeypatch, "-m", *QUICK, "network.width=5,0", "hydra.sweep.dir=sweep", f"hydra.sweep.subdir={subdir}"
        )
    told = capfd.readouterr().err
    assert ended.value.code == 2 and "1 job(s) of the sweep failed" in told
    assert told.count("network.width: received 0") == 2  # at once, and in the list at the end
    assert count_summaries(tmp_path / "sweep") == 1 and not (tmp_path / "sweep" / RECORDS).exists()


def test_a_sweep_says_a_line_for_each_job_and_where_they_are(monkeypatch, capfd, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    run_command(
        monkeypatch, "-m", "figures=false", *QUICK[2:], "seed=0,1", "init.scale=1e-3", "hydra.sweep.dir=my sweep"
    )
    printed = capfd.readouterr().out.splitlines()
    assert len(printed) == 5
    for number in (0, 1):
        line, loss = (
            printed[number],
            json.loads((tmp_path / f"my sweep/{number}/summary.json").read_text())["final"]["loss"],
        )
        assert line.startswith(f"job {number} of 2  seed={number}  loss {loss:.3g}") and "scale=" not in line
    assert "left" in printed[0] and "left" not in printed[1]
    assert printed[2].startswith("2 job(s) have ended") and printed[3].endswith("my sweep")
    assert printed[4].split(maxsplit=1)[1] == "gfflow-report 'my sweep'"


def test_of_a_search_the_best_trial_is_told() -> None:
    watch = Watch(Path("sweep"), common={"figures"})
    for number, value in enumerate((0.3, None, 0.1, 0.2)):
        watch.ended[number] = Ended(number, str(number), ["figures=False", f"solver.lr={number}"], 1.0, value=value)
    assert "best         job 2, final.loss = 0.1  solver.lr=2\n" in watch.closing("final.loss")
    assert "best         job 0, final.loss = 0.3  solver.lr=0\n" in watch.closing("final.loss", maximise=True)
    assert "best" not in watch.closing(None)


def test_a_study_without_m_says_that_it_is_one(monkeypatch, capfd, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    run_command(monkeypatch, "experiment=study/lambda", *QUICK[2:], "solver.name=fused")
    told = capfd.readouterr()
    assert "is a study: this is one run of it; -m runs all (init.scale, seed)" in told.err
    assert "theory beside measurement" in told.out and "files  " in told.out


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_is_a_sweep_of_valid_configurations(study: str) -> None:
    """Each value of each swept key but the seed, alone, gives a configuration that is accepted."""
    with initialize_config_dir(str(command.CONF), version_base="1.3"):
        chosen = compose("config", [f"experiment=study/{study}"], return_hydra_config=True)
        params = OmegaConf.to_container(chosen.hydra.sweeper.params)
        assert isinstance(params, dict) and len(params) >= 2
        from hydra.core.override_parser.overrides_parser import OverridesParser

        for key, values in params.items():
            override = OverridesParser.create().parse_override(f"{key}={values}")
            assert override.is_sweep_override()
            if key == "seed":
                continue
            for value in override.sweep_string_iterator():
                config = compose("config", [f"experiment=study/{study}", f"name={study}", f"{key}={value}"])
                settings = RunConfig.of(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
                assert not settings.figures


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_runs_shortened_with_its_swept_keys_narrowed(study: str, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(command.CONF), version_base="1.3"):
        chosen = compose("config", [f"experiment=study/{study}"], return_hydra_config=True)
    keys = [key for key in chosen.hydra.sweeper.params if key != "seed"]
    first = [f"{key}={_first(chosen.hydra.sweeper.params[key])}" for key in keys]
    brief = ("solver.name=fused", "solver.iterations=20", "schedule.linear=4", "seed=0,1", "hydra.sweep.dir=sweep")
    run_command(monkeypatch, "-m", f"experiment=study/{study}", *first, *brief)
    runs = [Run.read(tmp_path / "sweep" / str(number)) for number in (0, 1)]
    assert [run.summary["seed"] for run in runs if run.summary] == [0, 1]
    assert not (tmp_path / "sweep" / "2").exists()


def _first(values: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return next(iter(OverridesParser.create().parse_override(f"key={values}").sweep_string_iterator()))


def test_where_no_bar_can_be_drawn_the_lines_tell_the_time_left(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(Console, "is_terminal", True)
    ended = Ended(0, "0", ["seed=0"], 1.0)
    for term, told in (("xterm", False), ("dumb", True)):
        monkeypatch.setenv("TERM", term)
        watch = Watch(tmp_path)
        watch.total, watch.ended = 2, {0: ended}
        assert ("left" in watch._line(ended)) is told and watch._bar.disable is told


def test_local_jobs_of_submitit_are_not_reached_by_ctrl_c(tmp_path) -> None:
    """In a terminal it goes to all processes of a session; these outlive the sweep, which names them."""
    local = pytest.importorskip("submitit.local.local")
    with sessions_of_their_own():
        process = local.start_controller(tmp_path, "true")
    try:
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
    finally:
        process.kill()
        process.wait()
    assert local.subprocess is subprocess


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_parallel_sweep_equals_single_runs_bitwise_and_lists_its_failures(launcher, monkeypatch, tmp_path) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.removesuffix('_local')}_launcher")
    monkeypatch.chdir(tmp_path)
    sweep = start(tmp_path, "-m", f"hydra/launcher={launcher}", *QUICK, "network.width=0,60", "seed=1,2")
    _, told = sweep.communicate(timeout=200)
    (folder,) = (tmp_path / "outputs" / "sweeps" / "fig2").iterdir()
    assert sweep.returncode == 2
    assert "2 job(s) of the sweep failed" in told and told.count("network.width: received 0") >= 2
    for number, seed in ((2, 1), (3, 2)):
        single = tmp_path / f"single{seed}"
        run_command(monkeypatch, *QUICK, f"seed={seed}", f"hydra.run.dir={single}")
        job = folder / str(number)
        assert (job / "metrics.csv").read_bytes() == (single / "metrics.csv").read_bytes()
        frames, expected = Run.read(job).trajectory, Run.read(single).trajectory
        assert frames is not None and expected is not None and (job / ".hydra" / "overrides.yaml").exists()
        for name in ("step", "w", "a", "x", "y"):
            assert getattr(frames, name).tobytes() == getattr(expected, name).tobytes()
        assert json.loads((job / "summary.json").read_text())["seed"] == seed


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the worker in /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_killed_from_outside_is_one_failed_job_and_the_sweep_goes_on_with_it(sent, tmp_path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *QUICK[:2], "solver.iterations=30000000")
    arguments += ("seed=range(3)", "hydra.sweep.dir=sweep")
    sweep = start(tmp_path, *arguments)
    deadline = time.monotonic() + 120
    while not (tmp_path / "sweep" / "0" / ".lock").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    held = (tmp_path / "sweep" / "0" / ".lock").stat().st_ino
    (worker,) = {pid for pid in processes(sweep.pid) if held in _open_files(pid)}
    os.kill(worker, sent)
    _, told = sweep.communicate(timeout=200)
    assert sweep.returncode == 1 and "Traceback" not in told and "1 job(s) of the sweep failed" in told
    assert told.count(f"its process was ended from outside by {sent.name}") == 2  # at once, and at the end
    assert [path.parent.name for path in (tmp_path / "sweep").glob("*/error.txt")] == ["0"]
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == 2
    again = start(tmp_path, *arguments, "resume=true")
    assert again.communicate(timeout=200)[1] == "" and again.returncode == 0
    assert not list((tmp_path / "sweep").glob("*/error.txt"))


def _open_files(pid: int) -> set[int]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            found.add(path.stat().st_ino)
    return found


def test_a_job_that_slurm_starts_again_goes_on_without_being_told(monkeypatch, capfd, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("-m", *QUICK, "seed=0,1", "hydra.sweep.dir=sweep")
    run_command(monkeypatch, *arguments)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").glob("*/summary.json")}
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    run_command(monkeypatch, *arguments)
    assert capfd.readouterr().err == "" and len(written) == 2
    assert {path: path.stat().st_mtime_ns for path in written} == written
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    with pytest.raises(SystemExit):
        run_command(monkeypatch, *arguments)


def test_tensorboard_is_told_what_a_sweep_varies(monkeypatch, tmp_path) -> None:
    """By TensorBoard's own reading of the events."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import api_pb2, metadata

    monkeypatch.chdir(tmp_path)
    run_command(
        monkeypatch, "-m", *QUICK, "solver=fused,sgd", "init.scale=1e-2,1e-4", "seed=0", "hydra.sweep.dir=sweep"
    )
    events = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "sweep")).Reload()
    assert "1/tensorboard/solver=fused,init.scale=0.0001" in events.Runs() and len(events.Runs()) == 4
    for run in events.Runs():
        content = events.SummaryMetadata(run, metadata.EXPERIMENT_TAG).plugin_data.content
        described = {each.name: each for each in metadata.parse_experiment_plugin_data(content).hparam_infos}
        assert {name for name, each in described.items() if each.differs} == {"solver.name", "init.scale"}
        assert described["init.scale"].type == described["network.width"].type == api_pb2.DATA_TYPE_FLOAT64
        assert described["solver.name"].type == api_pb2.DATA_TYPE_STRING and "seed" not in described


def processes(session: int) -> list[int]:
    """The processes of the session: a sweep's own, its workers, and their helpers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(path.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for left processes in /proc")
@pytest.mark.parametrize(
    ("launcher", "sent", "group"),
    [
        ("basic", signal.SIGINT, True),
        ("basic", signal.SIGTERM, False),
        ("joblib", signal.SIGINT, True),  # what a terminal sends on Ctrl-C: to every process of the group
        ("joblib", signal.SIGTERM, False),  # what a scheduler or `kill` sends
        ("joblib", signal.SIGKILL, False),  # nothing can be done in the process itself: its workers must notice
    ],
)
def test_a_stopped_sweep_leaves_no_worker_and_whole_jobs_and_goes_on(launcher, sent, group, tmp_path) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    jobs = 10  # after the signal one may still end, of a killed sweep's workers a few
    arguments = ("-m", f"hydra/launcher={launcher}", *QUICK[:2], "solver.iterations=1000000", f"seed=range({jobs})")
    sweep = start(tmp_path, *arguments, "hydra.sweep.dir=sweep")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "sweep").glob("*/summary.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    began = time.monotonic()
    (os.killpg if group else os.kill)(sweep.pid, sent)
    _, told = sweep.communicate(timeout=60)
    while processes(sweep.pid) and time.monotonic() < began + 20:
        time.sleep(0.1)
    assert not processes(sweep.pid)  # measured on a quiet machine: all are gone within 2 s
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep").glob("*/summary.json")}
    assert 0 < len(finished) < jobs
    for path in finished:
        assert Run.read(path.parent).summary is not None
    if sent == signal.SIGKILL:
        assert sweep.returncode == -sent
    else:
        assert sweep.returncode == 128 + sent
        assert told.count("\n") == 1 and f"{len(finished)} job(s)" in told and "hydra.sweep.dir=sweep" in told
    again = start(tmp_path, *arguments, "hydra.sweep.dir=sweep", "resume=true")
    again.communicate(timeout=200)
    assert again.returncode == 0
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == jobs
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


@pytest.mark.slow
def test_two_sweeps_started_at_the_same_moment_do_not_collide(tmp_path) -> None:
    sweeps = [start(tmp_path, "-m", *QUICK, f"seed={seeds}") for seeds in ("0,1", "2,3")]
    assert [sweep.wait(timeout=200) for sweep in sweeps] == [0, 0]
    folders = sorted((tmp_path / "outputs" / "sweeps" / "fig2").iterdir())
    seeds = [[json.loads((f / str(n) / "summary.json").read_text())["seed"] for n in (0, 1)] for f in folders]
    assert sorted(seeds) == [[0, 1], [2, 3]]


@pytest.mark.slow
def test_one_job_of_each_kind_is_composed_before_the_sweep(monkeypatch, tmp_path: Path) -> None:
    """Independent truth: the config groups of conf/ by hand. Values of plain keys do not tell jobs apart, choices of
    groups and lists do, since what they compose to can differ in kind."""
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "gfflow.commands.sweep.one_of_each_kind",
        lambda batch, loader: asked.append(one_of_each_kind(batch, loader)) or asked[-1],
    )
    swept = ("seed=0,1,2", "data=orthonormal", "data.labels=[1,-1],[-2,1]", "init=balanced,unbalanced", "data.d=3,4")
    run_command(monkeypatch, "-m", *QUICK, *swept, "hydra.sweep.dir=sweep", "callbacks=none")
    ((first, *others),) = asked
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == 24
    assert len(others) == 3 and {tuple(job[i] for i in (-4, -3)) for job in (first, *others)} == {
        (labels, start)
        for labels in ("data.labels=[1,-1]", "data.labels=[-2,1]")
        for start in ("init=balanced", "init=unbalanced")
    }


def test_a_mistake_in_one_value_of_a_group_is_found_before_any_job_runs(monkeypatch, capfd, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command(monkeypatch, "-m", *QUICK, "seed=0,1", "solver=fused,adam", "hydra.sweep.dir=sweep")
    error = capfd.readouterr().err
    assert ended.value.code == 2 and "adam" in error and error.count("\n") == 1
    assert not list((tmp_path / "sweep").glob("*/*"))


@pytest.mark.slow
def test_the_smallest_start_of_the_initialization_study_keeps_its_signs_and_leaves_the_saddle(monkeypatch, tmp_path):
    """Under descent its neurons with a_j < 0 change sign, and it stays at loss 0.0318; the flow conserves signs. The
    end is that of the other small starts: 1/2 ||theta||^2 between 8.64 and 8.66, two kinks."""
    monkeypatch.chdir(tmp_path)
    run_command(
        monkeypatch, "-m", "experiment=study/initialization", "init.scale=1e-8", "seed=0", "hydra.sweep.dir=sweep"
    )
    run = Run.read(tmp_path / "sweep" / "0")
    assert run.summary is not None and run.trajectory is not None
    assert run.summary["stop_reason"] == "loss" and len(run.summary["structure"]["kinks"]) == 2
    assert 8.64 < run.summary["final"]["half_norm_squared"] < 8.66
    assert (np.sign(run.trajectory.a[-1]) == np.sign(run.trajectory.a[0])).all()
