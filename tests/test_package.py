"""The package as it is imported: quickly, typed, without a home folder, without a writable cache, without file locks;
and its scripts as README.md has them."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

import gfflow
from gfflow.compiled import own_temporary_folder
from gfflow.records import folder as folders

ROOT = Path(__file__).resolve().parents[1]


def python(code: str, cwd: Path, **environment: str | None) -> str:
    """What the code prints in a process of its own; None as a variable's value takes it away."""
    chosen = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    variables = {name: value for name, value in chosen.items() if value is not None}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_gfflow_imports_nothing_heavy(tmp_path):
    heavy = "{'torch', 'lightning', 'tensorboard', 'numba', 'numpy', 'scipy', 'matplotlib', 'hydra'}"
    assert python(f"import sys, gfflow; print(sorted({heavy} & set(sys.modules)))", tmp_path).strip() == "[]"


def test_type_checkers_see_the_names_that_are_there():
    """The imports under TYPE_CHECKING, read from the source, are those that __getattr__ serves."""
    tree = ast.parse((ROOT / "gfflow" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {alias.asname: node.module for node in block.body for alias in node.names}
    modules = {name for name, home in imported.items() if home == "gfflow"}
    assert modules == set(gfflow._MODULES)
    assert {name: home for name, home in imported.items() if name not in modules} == gfflow._HOME
    for name in gfflow.__all__:
        assert getattr(gfflow, name) is not None


SCRIPT = """
import gfflow

summary = gfflow.train({"seed": 1}, "folder", ([[1.0, 0.0]], [1.0]))
reveal_type(gfflow.train)
reveal_type(summary)
reveal_type(gfflow.build({}).prediction)
reveal_type(gfflow.orthogonal_pair().x)
gfflow.train("fig2", "folder")
gfflow.no_such_name
"""


@pytest.mark.slow
def test_a_type_checker_sees_the_signatures(tmp_path):
    """mypy on a person's own script."""
    pytest.importorskip("mypy")
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "--no-incremental", "script.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True
    )
    revealed = re.findall(r'script\.py:\d+: note: Revealed type is "(.*)"', done.stdout)
    assert len(revealed) == 4, done.stdout + done.stderr
    signature, summary, prediction, inputs = revealed
    for parameter in ("config: ", "folder: ", "training_set: ", "solver: ", "callbacks: ", "loggers: "):
        assert parameter in signature
    assert "dict[" in summary and prediction.endswith("Prediction") and inputs.endswith("Tensor")
    assert re.search(r'script\.py:9: error: Argument 1 to "train" has incompatible type "str"', done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["HOME unset", "read-only", "read-only, and the temporary folder taken"])
def test_without_a_home_folder_everything_can_be_imported_and_compiled(place, tmp_path):
    """The second as in a container, where home and modules cannot be written. A file named __pycache__ stands for a
    folder that cannot be written, which for root does not exist."""
    environment = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "PYTHONPATH"))
    root = ROOT
    if place != "HOME unset":
        root = tmp_path / "installed"
        shutil.copytree(ROOT / "gfflow", root / "gfflow", ignore=shutil.ignore_patterns("__pycache__"))
        for package in [path for path in (root / "gfflow").rglob("*") if path.is_dir()]:
            (package / "__pycache__").touch()
        (root / "gfflow" / "__pycache__").touch()
        environment |= {"HOME": "/proc/none", "TMPDIR": str(tmp_path)}
    own = tmp_path / f"gfflow-{os.getuid()}"
    if "taken" in place:
        own.touch()
    code = (
        "import gfflow, gfflow.callbacks, gfflow.figures, gfflow.run\n"
        "from gfflow.solvers import Fused\n"
        "data = gfflow.orthogonal_pair()\n"
        "network = gfflow.TwoLayerReLU(gfflow.draw_start(5, 2, 1e-2, 0, True))\n"
        "from gfflow.terminal import announce_compilation\n"
        "from rich.console import Console\n"
        "with announce_compilation(Console(stderr=True, width=200)):\n"
        "    Fused(1e-2).advance(network, data, 0, 10)\n"
        "from gfflow.compiled import kept_nowhere\n"
        "print(bool(kept_nowhere))\n"
        "print(gfflow.__file__, gfflow.Snapshot(network.neurons(), data).loss)"
    )
    nowhere, file, loss = python(code, tmp_path, **{**environment, "PYTHONPATH": str(root)}).split()
    assert nowhere == str("taken" in place)
    assert any(own.glob("**/*.nbi")) == (place == "read-only")
    assert Path(file).is_relative_to(root) and 0 < float(loss) < 1


def test_code_is_kept_among_temporary_files_only_where_nobody_else_can_write(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = own_temporary_folder()
    assert folder is not None and folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
    assert own_temporary_folder() == folder
    folder.chmod(0o770)
    assert own_temporary_folder() is None
    folder.rmdir()
    (tmp_path / "others").mkdir()
    folder.symlink_to(tmp_path / "others")
    assert own_temporary_folder() is None
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    assert own_temporary_folder() is None


@pytest.mark.slow
def test_without_fcntl_the_package_can_be_imported(tmp_path):
    """As on Windows, which has no such module."""
    code = "import sys; sys.modules['fcntl'] = None; import gfflow.callbacks, gfflow.run; print('imported')"
    assert python(code, tmp_path).strip() == "imported"


def test_where_no_lock_can_be_had_a_warning_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "fcntl", None)
    with pytest.warns(UserWarning, match="no lock could be had"), folders.claimed(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()
    monkeypatch.undo()
    with warnings.catch_warnings(), folders.claimed(tmp_path / "run"):
        warnings.simplefilter("error")
        assert (tmp_path / "run" / ".lock").exists()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_file_system_without_locks_is_not_taken_for_a_second_process(monkeypatch, tmp_path):
    def refused(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(folders.fcntl, "flock", refused)
    with pytest.warns(UserWarning, match="no lock could be had"), folders.claimed(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_readmes_script_runs_as_it_stands_there(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (script,) = [block for block in blocks if "gfflow.train(" in block]
    printed = python(script, tmp_path).splitlines()
    assert (tmp_path / "outputs" / "mine" / "summary.json").is_file() and (tmp_path / "mine.png").is_file()
    distance, frames = printed[-1].split(maxsplit=1)
    assert float(distance) < 0.1 and re.fullmatch(r"\(\d+, 100, 3\)", frames)  # 100 neurons, inputs in 3 dimensions


@pytest.mark.parametrize("name", ["README.md", "gfflow/README.md", "conf/README.md", "CHANGELOG.md"])
def test_every_table_has_its_head(name):
    """Rows after a blank line are no table, and are shown with their bars."""
    lines = ["", *(ROOT / name).read_text(encoding="utf-8").splitlines(), ""]
    first = [k for k in range(1, len(lines) - 1) if lines[k].startswith("|") and not lines[k - 1].startswith("|")]
    assert [lines[k] for k in first if not re.fullmatch(r"\|[-:| ]+\|", lines[k + 1])] == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs git and a checkout")
def test_a_first_run_leaves_a_fresh_clone_clean(tmp_path):
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    brief = ["solver.iterations=200", "schedule.linear=10", "verbose=false"]
    for options in ([], ["-m", "seed=0,1", "figures=false"]):
        subprocess.run(
            [sys.executable, "scripts/train.py", *options, *brief],
            cwd=tmp_path / "clone",
            check=True,
            capture_output=True,
        )
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=tmp_path / "clone", check=True, capture_output=True, text=True
    )
    assert list((tmp_path / "clone" / "outputs").glob("fig2/*/summary.json")) and status.stdout == ""
