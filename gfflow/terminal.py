"""What a person sees on the terminal when a run has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

EVENT_NAMES = {
    "aligned": "neurons aligned (cosine 0.999)",
    "plus_leaves_zero": "u+ leaves zero (1%)",
    "plus_fitted": "positive labels fitted (99%)",
    "minus_leaves_zero": "u- leaves zero (1%)",
    "minus_fitted": "negative labels fitted (99%)",
}


def closing_table(summary: dict[str, Any]) -> Table:
    """'event, predicted, measured' of a run: events by iteration, then the limits."""
    table = Table(title=f"{summary['experiment']}, seed {summary['seed']}: theory beside measurement")
    table.add_column("event")
    for name in ("predicted", "measured", "difference"):
        table.add_column(name, justify="right")
    events = [(key, event) for key, event in summary["events"].items() if event is not None]
    for key, event in sorted(events, key=lambda item: item[1]["predicted_step"]):
        predicted, measured = event["predicted_step"], event["measured_step"]
        shown = ("not reached", "") if measured is None else (f"{measured:,.0f}", f"{measured / predicted - 1:+.2%}")
        table.add_row(f"{EVENT_NAMES[key]}, iteration", f"{predicted:,.0f}", *shown)
    table.add_section()
    theory, final = summary["theory"], summary["final"]
    _add_limit(table, "u+ at the end", theory["u_plus_limit"], final["u_plus"])
    _add_limit(table, "u- at the end", theory["u_minus_limit"], final["u_minus"])
    _add_limit(table, "1/2 ||theta||^2 at the end", theory["min_half_norm"], final["half_norm_squared"])
    _add_value(table, "distance to the saddle, least", summary["saddle"]["distance_min"])
    _add_value(table, "distance to the limit, at the end", final["limit_distance"])
    _add_value(table, "loss at the end", final["loss"])
    return table


def print_closing(console: Console, summary: dict[str, Any], notes: tuple[str, ...], folder: Path) -> None:
    """Prints the closing table, what the theory had to say of the data, and where the files are."""
    for note in notes:
        console.print(f"[yellow]note[/]  {note}", highlight=False)
    console.print(closing_table(summary))
    timing = summary["timing"]
    ending = {"iterations": "all iterations done", "loss": "loss below solver.stop_loss"}
    console.print(
        f"{ending.get(summary['stop_reason'], summary['stop_reason'])} at iteration {summary['iterations']:,}: "
        f"{timing['train_seconds']:.2f} s training, {timing['measure_seconds']:.2f} s measuring",
        highlight=False,
    )
    console.print(f"files        {folder}", highlight=False, soft_wrap=True)
    if (folder / "figures").is_dir():
        console.print(f"figures      {folder / 'figures'}", highlight=False, soft_wrap=True)
    console.print(f"TensorBoard  tensorboard --logdir {folder}", highlight=False, soft_wrap=True)


def _add_limit(table: Table, name: str, predicted: float | None, measured: float | None) -> None:
    if predicted is None or measured is None:
        return _add_value(table, name, measured)
    return table.add_row(name, f"{predicted:.6f}", f"{measured:.6f}", f"{measured / predicted - 1:+.1e}")


def _add_value(table: Table, name: str, measured: float | None) -> None:
    if measured is not None:
        table.add_row(name, "", f"{measured:.6f}" if measured >= 1e-2 else f"{measured:.2e}", "")
