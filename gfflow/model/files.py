"""Samples and weights from files of a person's own. Nothing in a file is ever run: .npy and .npz are read without
pickles, .pt and .pth with torch's loading of tensors alone."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gfflow.errors import InvalidInput
from gfflow.model.data import TestSet, TrainingSet
from gfflow.model.numbers import as_numbers

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)  # float() also takes 1_0, inf and nan
KINDS = (".csv", ".npz", ".npy", ".pt", ".pth")


def from_file(
    path: str | Path,
    bias: bool = False,
    test_path: str | Path | None = None,
    columns: Sequence[str] | None = None,
    label: str = "y",
) -> TrainingSet:
    """Samples from a file, and test samples from another: CSV as of `from_csv`; .npz or .pt with x
    (n, d) and y (n,); .npy, or .pt with one tensor, of shape (n, d + 1) with y last. bias adds a last coordinate
    equal to 1.

    Raises InvalidInput where a file is missing, damaged, or not of this form.
    """
    x, y = _read_samples(path, "data.path", bias, columns, label)
    if test_path is None:
        return TrainingSet(x, y)
    test_x, test_y = _read_samples(test_path, "data.test_path", bias, columns, label)
    if test_x.shape[1] != x.shape[1]:
        allowed = f"{x.shape[1] - bias} input coordinates, as in {path}"
        raise InvalidInput("data.test_path", f"{test_x.shape[1] - bias} in {test_path}", allowed)
    return TrainingSet(x, y, test=TestSet(test_x, test_y))


def from_csv(
    path: str | Path, bias: bool = False, columns: Sequence[str] | None = None, label: str = "y"
) -> TrainingSet:
    """Samples from a CSV file with columns x1, ..., xd and y, or of other names; bias adds a last coordinate equal to
    1. With `columns` (the inputs, in their order) or another `label` than y the file's other columns are not used.
    Lines that begin with # are comments; the names may stand in one, as numpy.savetxt writes them.

    Raises InvalidInput where the file is missing, a column is missing, or an entry is not a number.
    """
    x, y = _read_csv(_path(path, "data.path"), "data.path", columns, label)
    return TrainingSet(_with_bias(x, bias), y)


def read_weights(path: str | Path, frame: int = -1) -> tuple[Tensor, Tensor]:
    """w (m, d) and a (m,), float64, from a .npz or .pt with these names, or the frame of a run's folder.

    Raises InvalidInput where there is no such file or frame, or the arrays have other shapes.
    """
    path = _path(path, "init.path")
    recorded = path / "trajectory.npz"
    held = _read_arrays(recorded if path.is_dir() else path, "init.path", "w and a, or a run's folder")
    if not isinstance(held, Mapping) or not {"w", "a"} <= set(held):
        raise InvalidInput("init.path", str(path), "a file with the arrays w (m, d) and a (m,)")
    w, a = (_tensor(held[name], "init.path", path) for name in ("w", "a"))
    if w.ndim == 3:  # a run's frames
        if not -len(w) <= frame < len(w):
            raise InvalidInput("init.frame", frame, f"an integer from {-len(w)} to {len(w) - 1}: {len(w)} frames")
        w, a = w[frame], a[frame]
    if w.ndim != 2 or a.shape != w.shape[:1]:
        shapes = f"w {tuple(w.shape)}, a {tuple(a.shape)} in {path}"
        raise InvalidInput("init.path", shapes, "w of shape (m, d) and a of shape (m,)")
    if not bool(torch.isfinite(w).all() and torch.isfinite(a).all()):
        raise InvalidInput("init.path", str(path), "finite weights")
    return w, a


def _path(path: str | Path, key: str) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidInput(key, path, "the path of a file")
    return Path(path).expanduser()


def _read_samples(
    path: str | Path, key: str, bias: bool, columns: Sequence[str] | None, label: str
) -> tuple[Tensor, Tensor]:
    path = _path(path, key)
    if path.suffix not in KINDS[1:]:
        x, y = _read_csv(path, key, columns, label)
        return _with_bias(x, bias), y
    held = _read_arrays(path, key, "x (n, d) and y (n,), or one array (n, d + 1) with y last")
    if isinstance(held, Mapping):
        if not {"x", "y"} <= set(held):
            raise InvalidInput(key, f"{sorted(map(str, held))} in {path}", "the arrays x (n, d) and y (n,)")
        x, y = (_tensor(held[name], key, path) for name in ("x", "y"))
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    else:
        table = _tensor(held, key, path)
        if table.ndim != 2 or table.shape[1] < 2:
            raise InvalidInput(key, f"shape {tuple(table.shape)} in {path}", "shape (n, d + 1), with y last")
        x, y = table[:, :-1], table[:, -1]
    if x.ndim != 2 or y.shape != x.shape[:1]:
        shapes = f"x {tuple(x.shape)}, y {tuple(y.shape)} in {path}"
        raise InvalidInput(key, shapes, "x of shape (n, d) and y of shape (n,)")
    return _with_bias(x, bias), y


def _read_arrays(path: Path, key: str, holds: str) -> Any:
    """What the file holds: a mapping of arrays, or one array."""
    try:
        if path.suffix in (".pt", ".pth"):
            return torch.load(path, map_location="cpu", weights_only=True)
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return (
                {name: loaded[name] for name in loaded.files} if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
            )
    except Exception as error:  # of damaged bytes torch's reader raises whatever comes of them, IndexError too
        reason = str(error) if isinstance(error, OSError) else "it is damaged, or of another kind"
        raise InvalidInput(key, str(path), f"a readable file with {holds} ({reason})") from None


def _tensor(values: Any, key: str, path: Path) -> Tensor:
    try:
        return as_numbers(values, key)
    except InvalidInput:
        raise InvalidInput(key, str(path), "arrays of real numbers") from None


def _with_bias(x: Tensor, bias: bool) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1) if bias else x


def _read_csv(path: Path, key: str, columns: Sequence[str] | None, label: str) -> tuple[Tensor, Tensor]:
    try:
        lines, comment = _lines(path)
        rows = csv.reader(line for _, line in lines)
        numbered = [(lines[rows.line_num - 1][0], row) for row in rows if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(key, str(path), f"a readable CSV file ({error})") from None
    if label in (columns or ()):
        raise InvalidInput("data.label", label, "a column that is not among data.columns")
    named = [name.strip() for name in comment.split(",")]
    if _input_columns(named, columns, label) is None:
        named = numbered.pop(0)[1] if numbered else []
    header = [name.strip() for name in named]
    inputs = _input_columns(header, columns, label)
    if inputs is None:
        wanted = (
            "columns x1, ..., xd and y" if columns is None and label == "y" else f"columns {_named(columns, label)}"
        )
        raise InvalidInput(key, f"columns {header} in {path}", f"{wanted}{_delimiter_hint(header)}")
    places = [header.index(name) for name in (*inputs, label)]
    values = []
    for number, row in numbered:
        if len(row) != len(header):
            allowed = f"as many entries as its first line names columns, {len(header)}"
            raise InvalidInput(key, f"{len(row)} entries in line {number} of {path}", allowed)
        for place in places:
            if not NUMBER.fullmatch(row[place].strip()):
                received = f"{row[place].strip()!r} in line {number}, column {header[place]}, of {path}"
                raise InvalidInput(key, received, "a finite number in each column")
        values.append([float(row[place]) for place in places])
    if not values:
        raise InvalidInput(key, f"no samples in {path}", "at least one line of numbers")
    table = torch.tensor(values, dtype=torch.float64)
    return table[:, :-1], table[:, -1]


def _lines(path: Path) -> tuple[list[tuple[int, str]], str]:
    """The numbers and texts of the lines that are no comments, and the last comment before them, without its #."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        numbered = list(enumerate(file, start=1))
    lines = [(number, line) for number, line in numbered if not line.lstrip().startswith("#")]
    above = numbered[: lines[0][0] - 1] if lines else []
    return lines, above[-1][1].strip().lstrip("#") if above else ""


def _input_columns(header: list[str], columns: Sequence[str] | None, label: str) -> list[str] | None:
    """The names of the input columns, in order; None where they or the label are not there, or are there twice.
    Without names of their own, nothing but x1, ..., xd may stand beside the label y."""
    if columns is None:
        d = sum(re.fullmatch(r"x\d+", name) is not None for name in header)
        columns = [f"x{i}" for i in range(1, d + 1)]
        if label == "y" and len(header) != d + 1:
            return None
    wanted = [*columns, label]
    return list(columns) if len(wanted) > 1 and all(header.count(name) == 1 for name in wanted) else None


def _named(columns: Sequence[str] | None, label: str) -> str:
    return f"{', '.join(columns or ['x1', '...', 'xd'])} and {label}, each once"


def _delimiter_hint(header: list[str]) -> str:
    """What to say where the file is separated by other characters than commas, or has names of its own."""
    for character, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (" ", "spaces")):
        if len(header) == 1 and character in header[0]:
            return f", separated by commas (these are separated by {name})"
    if header and all(re.fullmatch(r"[-+.\deE]+", name) for name in header):
        return ", named in its first line (these are numbers)"
    return "; for other names data.columns=[NAME,...] data.label=NAME" if header else ""
