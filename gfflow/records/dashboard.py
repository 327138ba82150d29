"""What TensorBoard shows beside the scalars: measured and predicted in one chart, text, images, hyperparameters."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
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

SECTIONS = ("theory beside measurement", "measured minus predicted")  # of the custom charts, those that come first
PREDICTION = re.compile(" and (its|their) predictions?")
MEASURED = "measured"  # their name where nothing was predicted
FINAL = {  # key of the summary's `final` -> what TensorBoard calls it
    "loss": "final loss",  # not to be taken for the parameter `loss`
    "half_norm_squared": "1/2 ||theta||^2",
    "norm_gap": "norm over its minimum, minus 1",
    "limit_distance": "distance to the limit",
    "u_plus": "u+",
    "u_minus": "u-",
}
NOT_HYPERPARAMETERS = (*NOT_PART_OF_A_RUN, "name", "callbacks", "schedule", "forecast")
TELLING = ("data.name", "init.scale", "network.width", "solver.iterations", "solver.lr")  # as many as are ticked


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots; lists become text, as TensorBoard's table holds no lists."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
    return flat


def charts(
    names: Collection[str] | None = None, mirrored: bool = True
) -> dict[str, dict[str, tuple[str, Sequence[str]]]]:
    """The layout of the custom scalar charts, by section and title, from the measures' own: of all, or of those alone
    that have something to draw where these scalars were logged, `mirrored` over log10(iteration) or not; no name
    speaks of predictions where none of them is one."""
    alone = names is not None and not any(name.startswith("theory/") for name in names)
    first = (MEASURED,) if alone else SECTIONS
    layout: dict[str, dict[str, tuple[str, Sequence[str]]]] = {section: {} for section in first}
    drawn = None if names is None else [*names, *(f"log10_iteration/{name}" for name in names if mirrored)]
    for entry in MEASURES.values():
        for chart in entry.charts:
            if drawn is None or any(re.search(tag, name) for tag in chart.tags for name in drawn):
                section = MEASURED if alone and chart.section in SECTIONS else chart.section
                title = PREDICTION.sub("", chart.title) if alone else chart.title
                layout.setdefault(section, {})[title] = (chart.kind, chart.tags)
    return {section: found for section, found in layout.items() if found}


def charts_of_members(names: Collection[str] | None = None) -> dict[str, dict[str, tuple[str, Sequence[str]]]]:
    """Those of an ensemble, before those of its first member: every scalar as median and 90% range over members, with
    the same of its prediction in the same chart."""
    all_names = [name for entry in MEASURES.values() for name in entry.names if names is None or name in names]
    measured = [name for name in all_names if not name.startswith("theory/") and name != SAME]
    both = {name: prediction_of(name) for name in measured if prediction_of(name) in all_names}

    def chart(*shown: str) -> tuple[str, Sequence[str]]:
        return "Margin", [f"{name}/{part}" for name in shown for part in ("p50", "p05", "p95")]

    layout = {
        "members: theory beside measurement": {
            f"{name} and its prediction": chart(name, twin) for name, twin in both.items()
        },
        "members": {name: chart(name) for name in measured if name not in both},
    }
    return {section: found for section, found in layout.items() if found} | charts(names)


def run_label(config: Mapping[str, Any], varied: Sequence[str]) -> str:
    """What tells a run from the others of its sweep: the values of the keys that vary (a choice of a group, such as
    `solver`, is its name); nothing of a run alone."""
    flat = flattened(config)
    words = [f"{key}={flat.get(key, flat.get(f'{key}.name'))}" for key in varied]
    return ",".join(words)


def write_opening(writer: SummaryWriter, config: Mapping[str, Any], many: bool = False) -> None:
    """Before training: the layout of the custom scalar charts, and the configuration as text; `many`: of an
    ensemble."""
    add_layout(writer, charts_of_members() if many else charts())
    lines = [f"    {key}: {value}" for key, value in flattened(config).items()]
    writer.add_text("configuration", "\n".join(lines), 0)


def write_closing(
    writer: SummaryWriter,
    summary: Summary,
    notes: Iterable[str],
    names: Collection[str],
    members: Members | None = None,
) -> None:
    """After training: the closing table and the notes as text, and the charts of the scalars that were logged;
    `members`: of an ensemble."""
    add_layout(writer, charts(names) if members is None else charts_of_members(names))
    table = ["| | predicted | measured | difference |", "|---|--:|--:|--:|"]
    sections = closing_sections(summary) if members is None else ensemble_sections(members)
    for title, rows in sections.items():
        table += [f"| **{title}** | | | |"]
        table += ["| " + " | ".join(row).replace("||", "\\|\\|").replace("\n", "<br>") + " |" for row in rows]
    said = [end_point_line(summary)] if members is None else failure_lines(members, summary.ensemble or {})
    text = "\n".join([*(f"- {note}" for note in (*notes, *(line for line in said if line))), "", *table])
    writer.add_text("closing table", text, summary.iterations)


def write_hyperparameters(
    writer: SummaryWriter, config: Mapping[str, Any], summary: Summary, varied: Sequence[str] = ()
) -> None:
    """One row of the HParams table: the configuration, the keys that vary first, of a run alone those that tell most
    (TensorBoard ticks the first five), and the final values. Runs that differ in their seed alone form one row, with
    the means over them; the seed is no column, since TensorBoard would show that of one of them."""
    from tensorboard.plugins.hparams import summary_v2

    silent = {*NOT_HYPERPARAMETERS, "seed"}
    if config["ensemble"]["size"] == 1 and not any(key.startswith("ensemble.") for key in varied):
        silent.add("ensemble")
    parameters = flattened({key: value for key, value in config.items() if key not in silent})
    others = [key for key in varied if key != "seed"]
    first = [key if key in parameters else f"{key}.name" for key in others] or TELLING
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
    label = run_label(config, others) or config["name"]
    metrics = [summary_v2.Metric(f"final/{key}", display_name=name) for key, name in FINAL.items()]
    described = [summary_v2.HParam(key, domain=_kind_of(value, key in first)) for key, value in parameters.items()]
    add_summary(writer, summary_v2.hparams_config_pb(described, metrics))
    add_summary(writer, summary_v2.hparams_pb(parameters, trial_id=f"{label} ({digest[:6]})", start_time_secs=0))
    for key in FINAL:
        value = getattr(summary.final, key)
        if value is not None:
            writer.add_scalar(f"final/{key}", value, summary.iterations)


def _kind_of(value: object, varied: bool) -> Any:
    """TensorBoard's domain of a parameter: its type, by which it sorts and draws, and whether it differs between the
    runs, by which it is shown first; of numbers no interval, as one run does not know that of a sweep."""
    from tensorboard.plugins.hparams import api_pb2, summary_v2

    kinds = {bool: api_pb2.DATA_TYPE_BOOL, int: api_pb2.DATA_TYPE_FLOAT64, float: api_pb2.DATA_TYPE_FLOAT64}
    kind = kinds.get(type(value), api_pb2.DATA_TYPE_STRING)

    class Kind(summary_v2.Domain):
        dtype = type(value)

        def sample_uniform(self, rng: Any = None) -> object:
            return value

        def update_hparam_info(self, hparam_info: Any) -> None:
            hparam_info.type = kind
            hparam_info.differs = varied

    return Kind()


def append_text(folder: Path, tag: str, text: str, step: int) -> None:
    """Adds text to the events of a run that has ended, in an event file of its own."""
    with SummaryWriter(str(folder)) as writer:
        writer.add_text(tag, text, step)


def image_tag(figure: str) -> str:
    """What TensorBoard calls the figure of this name. No scalar has the name: of a tag with both, such as `loss`, it
    draws neither."""
    return f"figures/{figure}"


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
