"""What a person sees on the terminal: while code is compiled, and when a run has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

EVENT_NAMES = {
    "aligned": "neurons aligned, cosine 0.999",
    "plus_leaves_zero": "u+ leaves zero, 1%",
    "plus_fitted": "positive labels fitted, 99%",
    "minus_leaves_zero": "u- leaves zero, 1%",
    "minus_fitted": "negative labels fitted, 99%",
}
Row = tuple[str, str, str, str]  # name, predicted, measured, difference


def closing_sections(summary: Mapping[str, Any]) -> dict[str, list[Row]]:
    """What the closing table says, section by section: events by iteration, then the end, then the saddle; a section
    without anything to say is left out."""
    sections = {
        "iteration of the event": _event_rows(summary["events"]),
        f"at the end, iteration {summary['iterations']:,}": _final_rows(summary),
        "least distance to the saddle": _saddle_rows(summary["saddle"]),
    }
    return {title: rows for title, rows in sections.items() if rows}


def closing_table(summary: Mapping[str, Any]) -> Table:
    """The closing sections as a table 'event, predicted, measured, difference'."""
    table = Table(title=f"{summary['experiment']}, seed {summary['seed']}: theory beside measurement")
    table.add_column("")
    for name in ("predicted", "measured", "difference"):
        table.add_column(name, justify="right")
    for title, rows in closing_sections(summary).items():
        table.add_section()
        table.add_row(f"[bold]{title}[/]")
        for name, *cells in rows:
            table.add_row(f"  {name}", *cells)
    return table


def _event_rows(events: dict[str, dict[str, float | None] | None]) -> list[Row]:
    rows = []
    known = [(key, event) for key, event in events.items() if event is not None]
    for key, event in sorted(known, key=lambda item: item[1]["predicted_step"] or 0.0):
        predicted, measured = event["predicted_step"] or 0.0, event["measured_step"]
        shown = "not reached" if measured is None else f"{measured:,.0f}"
        difference = "" if measured is None or predicted == 0 else f"{measured / predicted - 1:+.2%}"
        rows.append((EVENT_NAMES[key], f"{predicted:,.0f}", shown, difference))
    return rows


def _final_rows(summary: Mapping[str, Any]) -> list[Row]:
    theory, final = summary["theory"], summary["final"]
    norm, minimum = "1/2 ||theta||^2", theory["min_half_norm"]
    values = [
        ("u+", theory["u_plus_limit"], final["u_plus"]),
        ("u-", theory["u_minus_limit"], final["u_minus"]),
        (norm if minimum is None else f"{norm}, minimum norm", minimum, final["half_norm_squared"]),
        ("distance to the limit", None, final["limit_distance"]),
        ("loss", None, final["loss"]),
    ]
    rows = [_value_row(*value) for value in values if value[2] is not None]
    kinks, clusters = summary["structure"]["kinks"], summary["structure"]["clusters"]
    if clusters is not None:
        rows.append(("clusters (99% of the mass)", "", str(clusters), ""))
    if kinks is not None:
        rows.append(("kinks of h(x) around the data", "", str(len(kinks)), ""))
    return rows


def _saddle_rows(saddle: dict[str, Any]) -> list[Row]:
    if saddle["distance_min"] is None:
        return []
    return [_value_row(f"at iteration {saddle['step']:,}", None, saddle["distance_min"])]


def _value_row(name: str, predicted: float | None, measured: float) -> Row:
    if predicted is None:
        return name, "", _number(measured), ""
    difference = f"{measured / predicted - 1:+.1e}" if predicted else ""
    return name, _number(predicted), _number(measured), difference


def _number(value: float) -> str:
    return f"{value:.6f}" if 1e-2 <= value < 1e6 else f"{value:.2e}"


def end_point_line(summary: Mapping[str, Any]) -> str | None:
    """What kind of point of positive loss the run has ended at, in one line; None where it was on its way."""
    point = summary["final"]["point"]
    if point is None:
        return None
    loss = "" if point["loss"] is None else f", loss {point['loss']:.6g}"
    return f"end point    {point['kind']}{loss}: {point['reason']}"


def solver_line(solver: Mapping[str, Any]) -> str | None:
    """What the flow's integration took, in one line; None for solvers that have nothing to tell."""
    if "evaluations" not in solver:
        return None
    counts = {name: f"{solver[name]:,}" for name in ("evaluations", "steps", "gate_events", "sliding_episodes")}
    return (
        "flow         {evaluations} evaluations in {steps} steps; {gate_events} gate events, ".format(**counts)
        + f"{counts['sliding_episodes']} of them into sliding; pairs sliding at the end: {solver['sliding_pairs']:,}"
    )


@contextmanager
def compilation_told(console: Console) -> Iterator[None]:
    """Within it, the first compilation of a kernel is told in one line; kernels read from numba's cache are not."""
    from numba.core import event  # numba is imported only when it is needed

    class Once(event.Listener):
        told = False

        def on_start(self, _: Any) -> None:
            if not self.told:
                self.told = True
                console.print(
                    "compiling the inner loops for data of this shape, kept for later runs ...",
                    style="dim",
                )

        def on_end(self, _: Any) -> None:
            pass

    with event.install_listener("numba:compile", Once()):
        yield


def print_notes(console: Console, notes: tuple[str, ...]) -> None:
    """Prints, before training, what the theory has to say of the data and what may spoil the run."""
    for note in notes:
        console.print(f"[yellow]note[/]  {note}", highlight=False)


def print_closing(console: Console, summary: dict[str, Any], folder: Path) -> None:
    """Prints the closing table and where the files are."""
    console.print(closing_table(summary))
    timing = summary["timing"]
    ending = {
        "iterations": "all iterations done",
        "loss": "loss below solver.stop_loss",
        "stationary": "every neuron at rest, the labels not fitted",
    }
    console.print(
        f"{ending.get(summary['stop_reason'], summary['stop_reason'])} at iteration {summary['iterations']:,}",
        highlight=False,
    )
    if summary["final"]["phase"] == "early alignment" and summary["stop_reason"] == "iterations":
        console.print(
            "the network is still small: take more solver.iterations, or a larger init.scale", style="yellow"
        )
    elif summary["final"]["phase"] is not None:
        console.print(f"phase        {summary['final']['phase']}", highlight=False)
    console.print(
        f"time         {timing['train_seconds']:.2f} s training, {timing['measure_seconds']:.2f} s measuring",
        highlight=False,
    )
    for line in (end_point_line(summary), solver_line(summary["solver"])):
        if line is not None:
            console.print(line, highlight=False)
    console.print(f"files        {folder}", highlight=False, soft_wrap=True)
    if (folder / "figures").is_dir():
        console.print(f"figures      {folder / 'figures'}", highlight=False, soft_wrap=True)
    console.print(f"TensorBoard  tensorboard --logdir {folder}", highlight=False, soft_wrap=True)
