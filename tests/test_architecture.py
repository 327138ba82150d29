"""Imports point one way, as the parsed source says."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gfflow"
# From the ground up: a module may import its own layer and those below it.
LAYERS = [
    {"errors", "signals", "relu", "neurons", "data"},
    {"initialization", "network", "schedule", "folder"},
    {"theory"},
    {"measures"},
    {"solvers"},
    {"module", "view"},
    {"callbacks"},
    {"config", "loggers", "summary", "terminal", "dashboard", "cautions", "run", "sweep", "main"},
]
READERS = {"figures", "records", "reports"}  # they read finished runs and never see a model
MODELS = {"module", "callbacks", "solvers", "network", "run"}


def imported(path: Path) -> set[str]:
    """Full names of every module that the file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import, which this test does not follow"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part(path: Path) -> str:
    """The package's first-level part that a file belongs to: gfflow/theory/curves.py is of 'theory'."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own_parts(path: Path) -> set[str]:
    """The parts of gfflow that a file imports, its own not counted."""
    files = {part(p) for p in PACKAGE.rglob("*.py")}
    parts = {name.split(".")[1] for name in imported(path) if name.startswith("gfflow.")}
    return (parts & files) - {part(path)}


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    mine = part(path)
    height = next((i for i, layer in enumerate(LAYERS) if mine in layer), None)
    if height is None:
        return  # a reader of finished runs, or the command of one: below
    allowed = set().union(*LAYERS[: height + 1])
    if height == len(LAYERS) - 1:
        allowed |= READERS | {"animation", "statements"}
    assert own_parts(path) <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_mathematics_knows_nothing_of_lightning_nor_of_the_readers(path: Path) -> None:
    if part(path) not in set().union(*LAYERS[:5]) - {"solvers"}:
        return
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"lightning", "pytorch_lightning", "hydra", "omegaconf", "tensorboard", "matplotlib"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_readers_of_finished_runs_see_no_model(path: Path) -> None:
    if part(path) in READERS:
        assert not own_parts(path) & MODELS


def test_the_parts_named_here_exist() -> None:
    """A renamed part would leave its line unguarded. Readers may be absent."""
    assert set().union(*LAYERS) <= {part(path) for path in FILES}
