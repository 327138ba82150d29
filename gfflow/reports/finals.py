"""Final values against a swept key, with fitted power laws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from gfflow.figures.style import BAND, INK, MINUS, PLUS, new_figure, styled
from gfflow.reports.jobs import Job, Sweep
from gfflow.reports.labels import fitting, group_label, is_geometric, is_logarithmic, label, sequence
from gfflow.reports.scaling import PowerLaw, fit_power_law

SIGNED = ("final.norm_gap",)  # crosses zero at rounding: its size is what has a power law
# Below these, what is left is rounding, and no law of the run: of a difference of norms, of residuals of 1e-12
# squared, of a distance between weights of size 1.
ROUNDING = {"final.norm_gap": 1e-13, "final.loss": 1e-24, "final.limit_distance": 1e-12}
STRAIGHT = 0.95  # R^2 from which values count as a power of the key
LEAST_LEVELS = 3  # of the key: two points always lie on a line
MOST = 6  # combinations of the other swept keys that one figure can tell apart
WIDE = 40  # decades from which a logarithmic axis needs ticks of its own


def pairs(jobs: Sequence[Job], key: str, value: str) -> tuple[np.ndarray, np.ndarray]:
    """(x, y): the swept key and the value of the summary, one pair per job that has both; of a norm gap the size, at
    least one rounding."""
    found = [(float(job.overrides[key]), job.number(value)) for job in jobs if key in job.overrides]  # type: ignore[arg-type]
    known = [(x, y) for x, y in found if y is not None]
    x, y = np.array([x for x, _ in known]), np.array([y for _, y in known])
    return x, np.maximum(np.abs(y), np.finfo(float).eps) if value in SIGNED else y


def power_law(x: np.ndarray, y: np.ndarray, rounding: float = 0.0) -> PowerLaw | None:
    """The power law of those pairs whose value is above rounding; None where they stand at fewer than three levels of
    x, or where it explains less than 95% of the variance of log y: then there is no one power to speak of."""
    x, y = x[y > rounding], y[y > rounding]
    law = fit_power_law(x, y) if len(np.unique(x)) >= LEAST_LEVELS else None
    return law if law is not None and law.r_squared >= STRAIGHT else None


def with_error(value: float, error: float) -> str:
    """A value to the digit where its error begins, and the error, as mathematics; at most four decimals."""
    decimals = 4 if error < 1e-4 else max(0, -math.floor(math.log10(error)))
    digit, _, exponent = f"{error:.1g}".partition("e")
    power = f"\\times10^{{{int(exponent)}}}" if exponent else ""
    return f"{value:.{decimals}f} \\pm {digit}{power}"


@styled
def finals(sweep: Sweep, key: str, values: Sequence[str]) -> Figure | None:
    """One panel per value of the summary that some run has: every run a dot, the mean over runs as circles, and,
    where both axes are logarithmic, the power law (`power_law`) with its standard error. Combinations of the other
    swept keys have a colour and a law each; of more than six, six are drawn, evenly chosen, which is said. None
    where there is no value."""
    known = [value for value in values if len(pairs(sweep.finished, key, value)[1])]
    if not known:
        return None
    every = _parts(sweep, key)
    chosen = np.unique(np.linspace(0, len(every) - 1, min(len(every), MOST)).round().astype(int))
    parts = {name: jobs for i, (name, jobs) in enumerate(every.items()) if i in chosen}
    colors = sequence(len(parts)) if len(parts) > 1 else [PLUS]
    columns = min(2, len(known))
    rows = -(-len(known) // columns)
    figure = new_figure(0.3 + 2.2 * rows + 0.2 * (len(parts) // fitting(list(parts))[1]))
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axes, value in zip(panels.flat, known, strict=False):
        _draw(axes, [pairs(jobs, key, value) for jobs in parts.values()], colors, ROUNDING.get(value, 0.0))
        axes.set_ylabel(f"size of the {label(value)}" if value in SIGNED else label(value))
    for axes in panels.flat[len(known) :]:
        axes.set_visible(False)
    for axes in panels.flat[max(0, len(known) - columns) : len(known)]:
        axes.set_xlabel(label(key))
        axes.xaxis.set_tick_params(labelbottom=True)
    names, beside = fitting([name for name in parts if name])
    handles: list[Artist] = [Patch(color=c, label=name) for name, c in zip(names, colors, strict=False)]
    for size, color, face, name in ((3, colors[0], None, "each run"), (5, INK, "none", "mean over runs")):
        handles.append(Line2D([], [], linestyle="none", marker="o", markersize=size, color=color,
                              markerfacecolor=face, alpha=0.5 if face is None else 1, label=name))  # fmt: skip
    figure.legend(handles=handles, loc="outside upper right", ncols=beside, handlelength=1.0)
    if len(parts) < len(every):
        note = f"{len(parts)} of {len(every)} combinations of the other keys shown, all are in summary.csv"
        figure.supxlabel(note, fontsize=8, style="italic", color=INK)
    figure.align_ylabels()
    return figure


def _parts(sweep: Sweep, key: str) -> dict[str, list[Job]]:
    """The finished jobs by the other swept keys, named by their values; all under one empty name where there are no
    others."""
    found: dict[str, list[Job]] = {}
    for group in sweep.groups:
        others = {name: value for name, value in group.values.items() if name != key}
        found.setdefault(group_label(others, named=True), []).extend(group.jobs)
    return found


def _draw(axes: Axes, parts: list[tuple[np.ndarray, np.ndarray]], colors: list[str], rounding: float) -> None:
    """All of it on one panel; values below `rounding` are drawn on a grey band, and not fitted."""
    x, y = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    for (its_x, its_y), color in zip(parts, colors, strict=True):
        levels = np.unique(its_x)
        means = [its_y[its_x == level].mean() for level in levels]
        axes.plot(its_x, its_y, "o", color=color, markersize=3, markeredgewidth=0, alpha=0.35)
        edge = INK if len(parts) == 1 else color
        axes.plot(levels, means, "o", color=edge, markerfacecolor="none", markersize=5, markeredgewidth=0.9)
    swept_axis(axes, np.unique(x))
    if is_logarithmic(y.tolist()):
        axes.set_yscale("log")
        if (y <= rounding).any():
            axes.set_ylim(*axes.get_ylim())
            axes.axhspan(0, rounding, color=BAND, linewidth=0, zorder=-1)
            place = (1, min(rounding, axes.get_ylim()[1]))
            axes.annotate("rounding", place, (-3, -3), ("axes fraction", "data"), "offset points",
                          ha="right", va="top", fontsize=8)  # fmt: skip
    if axes.get_xscale() == axes.get_yscale() == "log" and (y > rounding).any():
        laws = [power_law(*part, rounding) for part in parts]
        for law, (its_x, its_y), color in zip(laws, parts, colors, strict=True):
            if law is not None:
                fitted = np.unique(its_x[its_y > rounding])
                axes.plot(fitted, law(fitted), color=MINUS if len(parts) == 1 else color, linewidth=1.1)
        if any(laws):
            axes.set_title(_slopes(laws), fontsize=8, color=MINUS if len(parts) == 1 else INK)
        else:
            most = max(len(np.unique(its_x[its_y > rounding])) for its_x, its_y in parts)
            why = "no power law" if most >= LEAST_LEVELS else f"too few values for a slope: {most}"
            axes.set_title(why, fontsize=8, style="italic")


def _slopes(laws: Sequence[PowerLaw | None]) -> str:
    """The slopes of the laws that there are, one by one, or of more than two from the least to the largest."""
    known = [law for law in laws if law is not None]
    part = f" ({len(known)} of {len(laws)})" if len(known) < len(laws) else ""
    if len(known) <= 2:
        return "slope " + ", ".join(f"${with_error(law.slope, law.error)}$" for law in known) + part
    low, high = min(law.slope for law in known), max(law.slope for law in known)
    return f"slopes ${low:.3f}$ to ${high:.3f}$" + part


def swept_axis(axes: Axes, levels: np.ndarray) -> None:
    """A logarithmic axis where the key's values want one, with ticks that can be read whatever it spans."""
    if not (is_logarithmic(levels.tolist()) or is_geometric(levels.tolist())):
        return
    axes.set_xscale("log")
    low, high = np.log10(levels[[0, -1]])
    if high - low > WIDE:
        exponents = MaxNLocator(6, steps=[1, 2, 5, 10], integer=True).tick_values(low, high)
        ticks = 10.0 ** exponents[(exponents >= low - 1) & (exponents <= high + 3)]
        axes.xaxis.set_major_locator(FixedLocator(ticks[ticks > 0].tolist()))
        axes.minorticks_off()
    elif (levels == levels.round()).all() and len(levels) <= 10 and high - low < 3:
        axes.set_xticks(levels, [f"{level:.0f}" for level in levels])
        axes.xaxis.minorticks_off()
