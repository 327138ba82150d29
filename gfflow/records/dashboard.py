"""What TensorBoard shows beside the scalars: measured and predicted in one chart, text, images, hyperparameters."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.tensorboard import SummaryWriter

from gfflow.records.closing import closing_sections, end_point_line
from gfflow.records.ensemble import SAME
from gfflow.records.ensemble_closing import ensemble_sections, failure_lines
from gfflow.records.event_file import add_layout, add_summary
from gfflow.records.folder import NOT_PART_OF_A_RUN
from gfflow.records.members import Members, prediction_of
from gfflow.records.summary import Summary
from gfflow.scalars import MEASURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECTIONS = ("theory beside measurement",)  # of the custom charts, those that come first


def charts() -> dict[str, dict[str, tuple[str, Sequence[str]]]]:
    """The layout of the custom scalar charts, by section and title, from the measures' own."""
    layout: dict[str, dict[str, tuple[str, Sequence[str]]]] = {section: {} for section in SECTIONS}
    for entry in MEASURES.values():
        for chart in entry.charts:
            layout.setdefault(chart.section, {})[chart.title] = (chart.kind, chart.tags)
    return layout


def charts_of_members() -> dict[str, dict[str, tuple[str, Sequence[str]]]]:
    """Those of an ensemble, before those of its first member: every scalar as median and 90% range over members, with
    the same of its prediction in the same chart."""
    names = [name for entry in MEASURES.values() for name in entry.names]
    measured = [name for name in names if not name.startswith("theory/") and name != SAME]
    both = {name: prediction_of(name) for name in measured if prediction_of(name) in names}

    def chart(*shown: str) -> tuple[str, Sequence[str]]:
        return "Margin", [f"{name}/{part}" for name in shown for part in ("p50", "p05", "p95")]

    return {
        "members: theory beside measurement": {
            f"{name} and its prediction": chart(name, twin) for name, twin in both.items()
        },
        "members": {name: chart(name) for name in measured if name not in both},
        **charts(),
    }


FINAL = ("loss", "half_norm_squared", "norm_gap", "limit_distance", "u_plus", "u_minus")
NOT_HYPERPARAMETERS = (*NOT_PART_OF_A_RUN, "name", "callbacks", "schedule")


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots; lists become text, as TensorBoard's table holds no lists."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
    return flat


def write_opening(writer: SummaryWriter, config: Mapping[str, Any], many: bool = False) -> None:
    """Before training: the layout of the custom scalar charts, and the configuration as text; `many`: of an
    ensemble."""
    add_layout(writer, charts_of_members() if many else charts())
    lines = [f"    {key}: {value}" for key, value in flattened(config).items()]
    writer.add_text("configuration", "\n".join(lines), 0)


def write_closing(
    writer: SummaryWriter,
    config: Mapping[str, Any],
    summary: Summary,
    notes: Iterable[str],
    members: Members | None = None,
) -> None:
    """After training: the closing table and the notes as text, and the run's row in the HParams table; `members`: of
    an ensemble."""
    table = ["| | predicted | measured | difference |", "|---|--:|--:|--:|"]
    sections = closing_sections(summary) if members is None else ensemble_sections(members)
    for title, rows in sections.items():
        table += [f"| **{title}** | | | |"]
        table += ["| " + " | ".join(row).replace("||", "\\|\\|").replace("\n", "<br>") + " |" for row in rows]
    said = [end_point_line(summary)] if members is None else failure_lines(members, summary.ensemble or {})
    text = "\n".join([*(f"- {note}" for note in (*notes, *(line for line in said if line))), "", *table])
    writer.add_text("closing table", text, summary.iterations)
    write_hyperparameters(writer, config, summary)


def write_hyperparameters(writer: SummaryWriter, config: Mapping[str, Any], summary: Summary) -> None:
    """One row of the HParams table: the configuration and the final values, the same columns for every run. Runs that
    differ in their seed alone form one group."""
    from tensorboard.plugins.hparams import summary_v2

    chosen = {key: value for key, value in config.items() if key not in NOT_HYPERPARAMETERS}
    parameters = flattened(chosen)
    fixed = {key: value for key, value in parameters.items() if key != "seed"}
    group = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()
    metrics = [summary_v2.Metric(f"final/{key}", display_name=key) for key in FINAL]
    add_summary(writer, summary_v2.hparams_config_pb([summary_v2.HParam(key) for key in parameters], metrics))
    add_summary(writer, summary_v2.hparams_pb(parameters, trial_id=group, start_time_secs=0))
    for key in FINAL:
        value = getattr(summary.final, key)
        if value is not None:
            writer.add_scalar(f"final/{key}", value, summary.iterations)


def append_text(folder: Path, tag: str, text: str, step: int) -> None:
    """Adds text to the events of a run that has ended, in an event file of its own."""
    with SummaryWriter(str(folder)) as writer:
        writer.add_text(tag, text, step)


def write_image(writer: SummaryWriter, tag: str, png: bytes, step: int) -> None:
    """An encoded PNG as an image."""
    from tensorboard.compat.proto import summary_pb2

    width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))  # where every PNG's header has them
    image = summary_pb2.Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=3)
    add_summary(writer, summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, image=image)]), step)


def write_figure(writer: SummaryWriter, tag: str, figure: Figure, step: int) -> None:
    """A matplotlib Figure as an image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_image(writer, tag, buffer.getvalue(), step)
