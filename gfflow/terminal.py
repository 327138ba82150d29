"""What a person sees on the terminal: while code is compiled, and when a run has ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gfflow.printing import shell_word
from gfflow.records.closing import closing_sections, end_point_line
from gfflow.records.ensemble_closing import ensemble_sections, failure_lines
from gfflow.records.members import TABLE, Members
from gfflow.records.summary import Summary
from gfflow.theory.phase import Phase

FLOW_COUNTERS = ("evaluations", "steps", "gate_events", "sliding_episodes", "sliding_pairs")
MANY = 200_000  # neurons whose prediction takes seconds, on many samples a minute
TINY = 44  # columns of a terminal, below which a column of names beside two of numbers would be too narrow to read
NARROW = 60  # columns of a terminal, below which numbers would be cut beside a column of differences


def closing_table(summary: Summary, width: int = 80, members: Members | None = None) -> Table:
    """The closing sections as a table 'event, predicted, measured, difference'; without the last on a terminal too
    narrow for all, where names are folded and numbers stay whole; on one narrower still with numbers below the names.
    `members`: of an ensemble."""
    title = f"{summary.experiment}, seed {summary.seed}: theory beside measurement"
    if members is not None:
        title = (
            f"{summary.experiment}, seeds {members.seeds[0]} to {members.seeds[-1]}: theory beside measurement\n"
            "median, 90% range over members, and the largest difference"
        )
    table = Table(title=escape(title), show_header=width >= TINY)
    table.add_column("", overflow="fold")
    names = ("predicted", "measured", "difference")[: 3 if width >= NARROW else 2]
    for name in names if width >= TINY else ():
        table.add_column(name, justify="right", no_wrap=True)
    sections = closing_sections(summary) if members is None else ensemble_sections(members)
    for title, rows in sections.items():
        table.add_section()
        table.add_row(f"[bold]{title}[/]")
        for name, *cells in rows:
            if width >= TINY:
                table.add_row(f"  {name}", *cells[: len(names)])
                continue
            told = [f"{which}: {cell}" for which, cell in zip(names, cells, strict=False) if cell]
            table.add_row("\n".join([name, *told]))
    return table


def solver_line(counters: Mapping[str, Any]) -> str | None:
    """What the flow's integration took, in one line; None for solvers that have nothing to tell."""
    if "evaluations" not in counters:
        return None
    counts = {name: f"{counters[name]:,}" for name in FLOW_COUNTERS}
    return (
        "flow         {evaluations} evaluations in {steps} steps; {gate_events} gate events, {sliding_episodes} "
        "of them into sliding; pairs sliding at the end: {sliding_pairs}".format(**counts)
    )


def announce_compilation(console: Console) -> AbstractContextManager[None]:
    """Within it, the first compilation of a kernel prints one line; kernels read from numba's cache print nothing."""
    from gfflow.compiled import at_first_compilation, kept_nowhere  # numba is imported only when it is needed

    def say() -> None:
        where = "kept for later runs; it may take minutes ..."
        if kept_nowhere:
            where = "anew in each process, minutes each time: no folder to keep them can be written "
            where += "(NUMBA_CACHE_DIR=DIR names one) ..."
        console.print(f"compiling the inner loops for data of this shape, {where}", style="dim")

    return at_first_compilation(say)


def announce_prediction(console: Console, width: int) -> None:
    """Prints one line before the prediction of so many neurons, where that takes more than a few seconds."""
    if width >= MANY:
        console.print(f"predicting how {width:,} neurons will move, before the first step ...", style="dim")


def print_notes(console: Console, notes: tuple[str, ...]) -> None:
    """Prints, before training, what the theory has to say of the data and what may spoil the run."""
    for note in notes:
        console.print(f"[yellow]note[/]  {escape(note)}", highlight=False)


def print_closing(console: Console, summary: Summary, folder: Path, members: Members | None = None) -> None:
    """Prints the closing table and where the files are; `members`: of an ensemble."""
    console.print(closing_table(summary, console.width, members))
    if members is None:
        _print_ending(console, summary)
    else:
        for line in failure_lines(members, summary.ensemble or {}):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    places = [] if members is None else [f"members      {folder / TABLE}"]
    places.append(f"files        {folder}")
    if (folder / "figures").is_dir():
        places.append(f"figures      {folder / 'figures'}")
    for line in (*places, f"TensorBoard  tensorboard --logdir {shell_word(folder)}"):
        console.print(line, highlight=False, soft_wrap=True, markup=False)  # [x] may be part of a folder's name


def _print_ending(console: Console, summary: Summary) -> None:
    """How and where a single run has ended, and what it has taken."""
    timing, phase = summary.timing, summary.final.phase
    ending = {
        "iterations": "all iterations done",
        "loss": "loss below solver.stop_loss",
        "stationary": "every neuron at rest, the labels not fitted",
        "diverged": "diverged",
    }
    console.print(
        f"{ending[str(summary.stop_reason)]} at iteration {summary.iterations:,}",
        highlight=False,
    )
    if phase is Phase.EARLY_ALIGNMENT and summary.stop_reason == "iterations":
        console.print(
            "the network is still small: take more solver.iterations, or a larger init.scale", style="yellow"
        )
    elif phase is not None and summary.stop_reason != "stationary":  # a dead network has no phase
        console.print(f"phase        {phase}", highlight=False)
    console.print(
        f"time         {timing.train_seconds:.2f} s training, {timing.measure_seconds:.2f} s measuring",
        highlight=False,
    )
    for line in (end_point_line(summary), solver_line(summary.solver.counters)):
        if line is not None:
            console.print(line, highlight=False, markup=False)
