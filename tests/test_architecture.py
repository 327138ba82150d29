"""Imports point one way, floor by floor, as the parsed source says; no folder and no module is left out."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gfflow"
# From the ground up: a file may import its own floor and those below it.
FLOORS = [
    {"errors", "printing", "registry", "compiled", "threads", "processes"},
    {"model"},
    {"motion"},
    {"measures"},
    {"theory"},
    {"solvers"},
    {"scalars"},
    {"training"},
    {"records"},
    {"callbacks"},
    {"statements", "figures", "reports"},
    {"config", "reference", "cautions", "terminal", "experiment", "ensemble", "ending", "run"},
    {"commands", "benchmark"},
    {"__main__"},
]
MATHEMATICS = {"errors", "registry", "compiled", "model", "motion", "measures", "theory"}
READERS = {"figures", "reports"}  # they read finished runs and never train
TRAINING = {"solvers", "training", "callbacks", "experiment", "ensemble", "ending", "run"}


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


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
FLOOR = {name: i for i, floor in enumerate(FLOORS) for name in floor}


def own_parts(path: Path) -> set[str]:
    """The parts of gfflow that a file imports, its own not counted."""
    parts = {name.split(".")[1] for name in imported(path) if name.startswith("gfflow.")}
    return {name for name in parts if name in FLOOR} - {part(path)}


def own_modules(path: Path) -> set[Path]:
    """The files of gfflow that a file imports when it is itself imported, functions left out."""
    files = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            stem = PACKAGE.parent.joinpath(*name.split("."))
            files |= {p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p in FILES}
    return files - {path}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_file_has_a_floor_and_imports_go_down(path: Path) -> None:
    assert part(path) in FLOOR, f"{path} is on no floor"
    assert {name for name in own_parts(path) if FLOOR[name] > FLOOR[part(path)]} == set()


def test_no_file_imports_itself_by_a_detour() -> None:
    arrows = {path: own_modules(path) for path in FILES}
    while leaves := [path for path, targets in arrows.items() if not targets & arrows.keys()]:
        for path in leaves:
            del arrows[path]
    initializers = {path for path in arrows if path.name == "__init__.py"}  # a package and its own files
    assert not {p for p in arrows if p not in initializers and not arrows[p] & initializers}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_mathematics_knows_nothing_of_lightning_nor_of_files(path: Path) -> None:
    if part(path) in MATHEMATICS:
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {"lightning", "pytorch_lightning", "hydra", "omegaconf", "tensorboard", "matplotlib"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_readers_of_finished_runs_do_not_train(path: Path) -> None:
    if part(path) in READERS:
        assert not own_parts(path) & TRAINING


def test_the_parts_named_here_exist() -> None:
    """A renamed part would leave its line unguarded."""
    assert FLOOR.keys() == {part(path) for path in FILES}
