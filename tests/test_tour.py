"""scripts/tour.ipynb, executed cell by cell as a kernel does: the value of a cell's last line is what it shows."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "scripts" / "tour.ipynb"


def executed(source: str, names: dict) -> object:
    """Runs a cell; the value of its last line, where that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@pytest.mark.slow
def test_the_tour_shows_what_it_says(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cells = [
        cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
    ]
    names: dict = {"__name__": "__main__"}
    shown = [executed("".join(cell["source"]), names) for cell in cells]
    assert not any(cell["outputs"] for cell in cells)  # what is kept is the source
    (predicted, least), (measured, reached) = shown[1:3]
    assert reached == pytest.approx(least, rel=1e-6)
    for name, step in predicted.items():
        assert measured[name] == pytest.approx(step, rel=2e-3)  # of the order of lr ||D||
    pictures = [value for value in shown if hasattr(value, "_repr_png_")]
    assert len(pictures) == 3 and all(picture._repr_png_().startswith(b"\x89PNG") for picture in pictures)
    printed = capsys.readouterr().out
    assert "inputs are not orthogonal" in printed and printed.count("distance to the predicted limit") == 6
    loss, clusters = shown[-1]
    assert 0 <= loss < 0.1 and clusters > 0
