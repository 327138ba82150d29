"""What the terminal tells of solvers: what they compile, and what they took."""

import io
import subprocess
import sys

from numba import njit
from rich.console import Console

from gfflow.config import RunConfig
from gfflow.run import train
from gfflow.terminal import announce_compilation, solver_line


def test_compilation_is_told_once_and_only_where_it_happens():
    told = io.StringIO()
    first, second = njit(lambda x: x + 1), njit(lambda x: x + 2)
    with announce_compilation(Console(file=told, width=200)):
        assert told.getvalue() == ""
        assert first(1.0) == 2.0 and second(1.0) == 3.0
    assert told.getvalue().count("\n") == 1 and told.getvalue().startswith("compiling")
    again = io.StringIO()
    with announce_compilation(Console(file=again)):
        first(1.0)
    njit(lambda x: x + 3)(1.0)  # outside: announced no more
    assert again.getvalue() == "" and told.getvalue().count("\n") == 1


def test_the_flow_says_what_it_took_and_where_its_files_are(tmp_path, capsys):
    values = {"solver": {"name": "flow", "iterations": 2000}, "data": {"name": "five_points"}, "figures": False}
    folder = tmp_path / "my [red] run"  # no markup
    summary = train(RunConfig.of({**values, "init": {"scale": 1e-2}, "callbacks": {"progress": False}}), folder)
    solver, line = summary["solver"], solver_line(summary["solver"])
    assert line is not None and "\n" not in line
    assert f"{solver['evaluations']:,} evaluations" in line and f"{solver['gate_events']:,} gate events" in line
    assert f"{solver['sliding_episodes']:,} of them into sliding" in line
    out = capsys.readouterr().out
    assert " ".join(line.split()) in " ".join(out.split())
    assert f"files        {folder}\n" in out and f"tensorboard --logdir '{folder}'\n" in out
    assert solver_line({"name": "fused", "lr": 2e-3}) is None


def test_kernels_of_the_flow_are_kept_for_the_next_process():
    """What one process has compiled, if it was not there before, another reads from numba's cache."""
    use = """
from gfflow.model.data import five_points
from gfflow.model.initialization import draw_start
from gfflow.model.network import TwoLayerReLU
from gfflow.solvers import Flow
for method in ("splitting", "runge_kutta"):
    Flow(2e-3, 1e-6, method).advance(TwoLayerReLU(draw_start(10, 2, 1e-2, 0, True)), five_points(), 0, 2000)
"""
    tell = """
from numba.core import event
class Told(event.Listener):
    def on_start(self, compiling): print(compiling.data["dispatcher"].__name__)
    def on_end(self, compiled): pass
event.register("numba:compile", Told())
"""
    exec(use, {})
    other = subprocess.run([sys.executable, "-c", tell + use], capture_output=True, text=True)
    assert other.returncode == 0, other.stderr
    assert other.stdout == ""
