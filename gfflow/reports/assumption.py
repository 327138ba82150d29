"""How often Assumption 3 holds, beside the exact probability, and what a run comes to where it fails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gfflow.figures.style import FAINT, MINUS, PLUS, new_figure, styled
from gfflow.reports.jobs import Job, Sweep
from gfflow.reports.labels import sequence
from gfflow.theory.probability import assumption_3_probability

HOLDS = "theory.assumptions.cones_nonempty"
LEAST_LOSS = 1e-32  # the square of a rounding: a loss of exactly 0 is drawn there


@dataclass(frozen=True)
class Frequency:
    """How many of the runs of one width and one number of labels fulfil Assumption 3."""

    width: int
    n_plus: int  # positive labels
    n_minus: int
    runs: int
    held: int

    @property
    def measured(self) -> float:
        """The fraction of runs in which it held."""
        return self.held / self.runs

    @property
    def exact(self) -> float:
        """Its probability."""
        return assumption_3_probability(self.width, self.n_plus, self.n_minus)

    @property
    def standard_error(self) -> float:
        """Of the measured fraction, from the exact probability."""
        return float(np.sqrt(self.exact * (1 - self.exact) / self.runs))


def frequencies(sweep: Sweep) -> list[Frequency]:
    """Counts per width and labels, over the finished runs on orthogonal inputs that kept a trajectory."""
    cases: dict[tuple[int, int, int], list[bool]] = {}
    for job in sweep.finished:
        case = _case(job)
        if case is not None:
            cases.setdefault(case, []).append(bool(job.summary.get(HOLDS)))
    return [Frequency(*case, len(held), sum(held)) for case, held in sorted(cases.items())]


def _case(job: Job) -> tuple[int, int, int] | None:
    frames = job.run.trajectory if job.run is not None and job.summary.get("theory.orthogonal") else None
    if frames is None:
        return None
    return frames.w.shape[1], int((frames.y > 0).sum()), int((frames.y < 0).sum())


@styled
def assumption(sweep: Sweep) -> Figure | None:
    """Left: measured frequency with its standard error, and the exact probability as lines. Right: the norm gap and
    the loss that runs end with. None unless the width was swept on orthogonal inputs."""
    found = frequencies(sweep) if "network.width" in sweep.keys else []
    if not found:
        return None
    figure = new_figure(3.4)
    left, right = figure.subplots(1, 2)
    labels = sorted({(f.n_plus, f.n_minus) for f in found}, key=sum)
    widths = sorted({f.width for f in found})
    dense = np.unique(np.geomspace(widths[0], widths[-1], 200).round().astype(int))
    for (n_plus, n_minus), color in zip(labels, sequence(len(labels)), strict=True):
        mine = [f for f in found if (f.n_plus, f.n_minus) == (n_plus, n_minus)]
        left.plot(dense, [assumption_3_probability(int(m), n_plus, n_minus) for m in dense], color=color, linewidth=1)
        left.errorbar(
            [f.width for f in mine], [f.measured for f in mine], [f.standard_error for f in mine],
            fmt="o", color=color, markersize=3.5, elinewidth=0.9, capsize=2, label=f"$n={n_plus}+{n_minus}$",
        )  # fmt: skip
    left.set(xscale="log", xlabel="width $m$", ylabel="Assumption 3 holds", ylim=(-0.03, 1.03))
    left.set_xticks(widths, [str(width) for width in widths])
    left.minorticks_off()
    handles, names = left.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper left", title="lines: exact", handlelength=1.0, ncols=min(4, len(names))
    )
    _outcomes(right, sweep)
    return figure


def _outcomes(axes: Axes, sweep: Sweep) -> None:
    for holds, color, marker, text in ((True, PLUS, "o", "holds"), (False, MINUS, "x", "fails")):
        jobs = [job for job in sweep.finished if job.summary.get(HOLDS) is holds]
        ends = [(job.number("final.norm_gap"), job.number("final.loss")) for job in jobs]
        points = [(gap, max(loss, LEAST_LOSS)) for gap, loss in ends if gap is not None and loss is not None]
        if points:
            size = 2.5 if holds else 3.5
            axes.plot(*zip(*points, strict=True), marker, color=color, markersize=size, alpha=0.6, label=text)
    axes.set(yscale="log", xlabel="final norm gap", ylabel="final loss")
    axes.axvline(0, color=FAINT, linewidth=0.7, zorder=0)
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside upper right", title="Assumption 3", handlelength=1.0, ncols=2)
