"""The table of an ensemble's members, ensemble.csv, read back. Needs no torch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gfflow.errors import InvalidInput

Array = NDArray[np.float64]
TABLE = "ensemble.csv"


def prediction_of(scalar: str) -> str:
    """The name that the prediction of a scalar has, where it is predicted."""
    return f"theory/{scalar.removeprefix('mass/')}"


@dataclass(frozen=True, eq=False)
class Members:
    """ensemble.csv read back, column by column."""

    columns: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, folder: Path) -> Members:
        """From the folder of an ensemble; raises InvalidInput where the table is missing or damaged."""
        path = folder / TABLE
        try:
            rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
            return cls(dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True)))
        except (OSError, ValueError, IndexError) as error:
            raise InvalidInput("ensemble", str(path), f"a whole {TABLE} ({' '.join(str(error).split())})") from None

    def __len__(self) -> int:
        return len(self.columns["seed"])

    @cached_property
    def seeds(self) -> list[int]:
        """Of the members, in their order."""
        return [int(seed) for seed in self.columns["seed"]]

    def words(self, name: str) -> tuple[str, ...]:
        """A column as it is written; '' where a member has no value, and everywhere without such a column."""
        return self.columns.get(name, ("",) * len(self))

    def numbers(self, name: str) -> Array:
        """A column of numbers, shape (M,); NaN where a member has no value."""
        return np.array([float(text) if text else np.nan for text in self.words(name)])

    @property
    def failed(self) -> dict[int, str]:
        """Why each member has failed that has, by its seed."""
        return {seed: why for seed, why in zip(self.seeds, self.words("failure"), strict=True) if why}
