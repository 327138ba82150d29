"""How swept keys, their values and the scalars read in figures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.colors import to_hex

from gfflow.records.tidy import is_number
from gfflow.reports.jobs import Sweep, Value

WIDEST = 100  # characters that have room in one line of a figure
NAMES = {
    "init.scale": "scale",
    "init.gamma": r"$\gamma$",
    "init.gamma_prime": r"$\gamma'$",
    "network.width": "$m$",
    "solver.lr": r"$\eta$",
    "data.labels": "labels",
    "theory.lambda": r"$\lambda$",
    "loss": "loss $L$",
    "test/loss": "test loss",
    "final.test_loss": "final test loss",
    "data.n": "samples $n$",
    "mass/u_plus": "$u_+$",
    "mass/u_minus": "$u_-$",
    "saddle/distance": r"distance to $\theta_S$",
    "limit/distance": r"distance to $\theta^{\!*}$",
    "limit/norm_gap": "norm gap",
    "saddle.distance_min": r"least distance to $\theta_S$",
    "flow/distance": "distance to the flow",
    "flow/function_distance": "distance to the flow's function",
    "flow/sliding_pairs": "sliding pairs",
    "flow.distance_max": "largest distance to the flow",
    "flow.distance_final": "final distance to the flow",
    "flow.function_distance_max": "largest distance to the flow's function",
    "final.limit_distance": r"final distance to $\theta^{\!*}$",
    "final.norm_gap": "final norm gap",
    "final.loss": "final loss",
    "final.half_norm_squared": r"final $\frac{1}{2}\Vert\theta\Vert^2$",
    "final.u_plus": "final $u_+$",
    "final.u_minus": "final $u_-$",
}


def label(name: str) -> str:
    """The name of a key, scalar or summary value as a figure shows it."""
    return NAMES.get(name, name)


def value_label(value: Value) -> str:
    """A value of a swept key: powers of ten as such, integers of up to six digits whole, other numbers in three
    digits."""
    if not is_number(value):
        return "none" if value is None else str(value)
    number = float(value)  # type: ignore[arg-type]
    exponent = math.log10(number) if number > 0 else 0.5
    if abs(exponent - round(exponent)) < 1e-9 and round(exponent) not in (0, 1):
        return f"$10^{{{round(exponent)}}}$"
    whole = number == round(number) and 1000 <= abs(number) < 1e6
    return f"{number:.0f}" if whole else f"{number:.3g}"  # a thin space is no letter of mathematics


def group_label(values: Mapping[str, Value], named: bool = False) -> str:
    """The values of several swept keys in one line; of one key alone, its value (`named`: with the key)."""
    if len(values) == 1 and not named:
        return value_label(next(iter(values.values())))
    return ", ".join(f"{label(key)} {value_label(value)}" for key, value in values.items())


def fitting(names: Sequence[str]) -> tuple[list[str], int]:
    """Names of a legend as wide as the figure, and in how many columns they have room; longer ones than one column
    holds are cut short (their values are in the table)."""
    cut = [name if _width(name) <= WIDEST else name[: WIDEST - 4].rsplit(", ", 1)[0] + ", ..." for name in names]
    return cut, 2 if max(map(_width, cut), default=0) <= WIDEST / 2 - 6 else 1


def _width(name: str) -> int:
    """Of a name, in characters, without what only directs its mathematics."""
    return len(re.sub(r"\\[a-zA-Z]+|[${}^_]", "", name))


def sequence(count: int) -> list[str]:
    """Colours from dark to light, evenly spaced, that order survives colour blindness and a grey printer."""
    return [to_hex(matplotlib.colormaps["viridis"](0.92 * i / max(count - 1, 1))) for i in range(count)]


def numeric_keys(sweep: Sweep) -> list[str]:
    """The swept keys, other than the seed, whose values are all numbers."""
    return [key for key in sweep.keys if all(is_number(value) for value in sweep.levels(key))]


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether positive values span so much that an axis of them wants a logarithm."""
    return len(values) > 0 and min(values) > 0 and max(values) / min(values) > 20


def is_geometric(values: Sequence[float]) -> bool:
    """Whether three or more increasing positive values grow by one factor, such as 4, 8, 16."""
    return len(values) > 2 and values[0] > 0 and all(
        math.isclose(b * b, a * c, rel_tol=1e-6) for a, b, c in zip(values, values[1:], values[2:], strict=False)
    )  # fmt: skip
