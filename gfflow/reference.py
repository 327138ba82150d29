"""What a configuration may say, for people: the text of `--help` and conf/README.md, both made from the options'
classes. `python -m gfflow.reference > conf/README.md` writes the latter anew."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gfflow.config import RunConfig, presets
from gfflow.registry import Options, Registry, allowed, number

_PACKAGE = Path(__file__).resolve().parent
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if p.is_dir())  # in a wheel it lies inside
DEFAULT_EXPERIMENT = "fig2"

SENTENCE = (
    "gfflow predicts the training of a two-layer network before its first step, trains it, "
    "and shows theory beside measurement."
)
EXAMPLES = {
    "": "the paper's Figure 2",
    "experiment=fig4": "the paper's five points, which are not orthogonal",
    "init.scale=1e-100 solver=flow solver.iterations=300000": "a start of size 1e-100, by the flow itself",
    "data=csv data.path=mine.csv data.bias=true": "your own samples: columns x1, ..., xd, y",
    "-m seed=0,1,2 init.scale=1e-2,1e-6": "a sweep: one run for each combination",
    "ensemble.size=1000": "a thousand starts in one run",
    "resume=RUN_DIR": "go on with a run that was stopped",
}
HYDRA = {
    "--help, --version": "this text; gfflow's version",
    "--cfg job": "print every value of the run that the command would start, and start nothing",
    "-m, --multirun": "a sweep over all combinations of values separated by commas",
    "hydra.run.dir=DIR": "the folder of the run (hydra.sweep.dir=DIR: of the sweep)",
    "hydra/launcher=joblib": "a sweep in parallel (extra sweep); also submitit_slurm and submitit_local",
    "--hydra-help": "what else Hydra, which reads the command line, can do",
}
MEANINGS = {  # of groups that are not described by the class of their options
    "experiment": "A whole run by name: it sets the groups and keys below; what stands on the command line wins.",
    "data": "The training set.",
    "init": "The start of the weights.",
    "solver": "How the weights move.",
}


@dataclass(frozen=True)
class Key:
    """One key of the configuration, in words."""

    name: str
    default: str
    meaning: str
    unit: str
    allowed: str


@dataclass(frozen=True)
class Group:
    """One group of keys: what GROUP=NAME may choose (name -> description), and the keys under it."""

    name: str
    meaning: str
    default: str
    choices: dict[str, str]
    keys: list[Key]
    note: str = ""


def value(given: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(given, bool) or given is None:
        return {True: "true", False: "false", None: "null"}[given]
    if isinstance(given, (list, tuple)):
        return f"[{','.join(map(value, given))}]"
    return number(given) if isinstance(given, float) else str(given)


def keys_of(cls: type[Options], among: list[str] | None = None) -> list[Key]:
    """The options of a class, those that are groups themselves left out; `among`: only these."""
    found = []
    for f in dataclasses.fields(cls):
        if "meaning" in f.metadata and (among is None or f.name in among):
            meta = f.metadata
            words = allowed(cls, f.name)
            if meta["limit"] is not None and meta["limit"].registry is not None:
                words = "; ".join(f"{n} ({e.description().rstrip('.')})" for n, e in meta["limit"].registry.items())
            found.append(Key(cls.key(f.name), value(f.default), meta["meaning"], meta["unit"], words))
    return found


def _of_registry(registry: Registry[Any]) -> Group:
    common = registry.common()
    among = ", ".join(registry)
    keys = [
        Key(f"{registry.group}.name", registry.default, f"as {registry.group}= chooses it", "", f"one of {among}")
    ]
    keys += keys_of(registry[registry.default], common)
    for name, cls in registry.items():
        own = [f.name for f in dataclasses.fields(cls) if f.name not in common]
        only = f"{registry.group}={name}: "
        keys += [dataclasses.replace(key, meaning=only + key.meaning) for key in keys_of(cls, own)]
    choices = {name: cls.description() for name, cls in registry.items()}
    return Group(registry.group, MEANINGS[registry.group], registry.default, choices, keys, registry.note)


def groups() -> Iterator[Group]:
    """Every group of the configuration, in its order; the keys at the top come last."""
    yield Group("experiment", MEANINGS["experiment"], DEFAULT_EXPERIMENT, experiments(), [])
    made = presets()
    for f in dataclasses.fields(RunConfig):
        if "registry" in f.metadata:
            yield _of_registry(f.metadata["registry"])
        elif "meaning" not in f.metadata:
            cls = type(getattr(RunConfig(), f.name))
            names = list(made[f.name])
            yield Group(f.name, cls.description(), names[0], dict.fromkeys(names, ""), keys_of(cls))
    yield Group("", "Keys of the run as a whole.", "", {}, keys_of(RunConfig))


def experiments() -> dict[str, str]:
    """Every experiment by its name, with the first sentence of the comment at the head of its file."""
    found = {}
    folder = CONF / "experiment"
    for path in sorted(folder.rglob("*.yaml"), key=lambda p: (len(p.relative_to(folder).parts), p.name)):
        lines = []
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            lines += [] if line.startswith("# @package") else [line.lstrip("# ")]
        sentence = " ".join(lines).split(". ")[0].rstrip(".")
        found[path.relative_to(folder).with_suffix("").as_posix()] = sentence + "."
    return found


def as_help(
    command: str = "python scripts/train.py", width: int = 110, others: Mapping[str, str] | None = None
) -> str:
    """The text of --help; `others` are commands to name beside it, with what they do."""
    lines = [
        *textwrap.wrap(SENTENCE, width),
        "",
        f"usage: {command} [experiment=NAME] [GROUP=NAME ...] [KEY=VALUE ...] [-m]",
    ]
    lines += ["", "examples:"]
    lines += _table({f"{command} {words}".strip(): meaning for words, meaning in EXAMPLES.items()}, width)
    lines += ["", "what else is typed:", *_table(dict(others), width)] if others else []
    lines += ["", "options:", *_table(HYDRA, width)]
    lines += ["", "Every key is listed with its default, its meaning, [its unit] and the values allowed."]
    for group in groups():
        lines += ["", *_titled(group, width)]
        entries = {name: text for name, text in group.choices.items() if text}
        if entries:
            defaults = {group.default: " The default."}
            lines += _table({f"{group.name}={n}": text + defaults.get(n, "") for n, text in entries.items()}, width)
        lines += textwrap.wrap(group.note, width, initial_indent="  ", subsequent_indent="  ")
        for key in group.keys:
            unit = f" [{key.unit}]" if key.unit else ""
            lines += _table({f"{key.name}={key.default}": f"{key.meaning}{unit}. Allowed: {key.allowed}."}, width)
    return "\n".join(lines)


def _titled(group: Group, width: int) -> list[str]:
    if not group.name:
        return [group.meaning]
    names = ", ".join(name + " (default)" * (name == group.default) for name in group.choices)
    title = f"{group.name}: {group.meaning}"
    return textwrap.wrap(title if any(group.choices.values()) else f"{title} {group.name}= {names}", width)


def _table(rows: dict[str, str], width: int) -> list[str]:
    """Left column and text beside it, wrapped; below it where the left column is too wide."""
    lines = []
    indent = " " * 38
    for left, text in rows.items():
        head = f"  {left}"
        beside = len(head) < len(indent) - 1
        lines += [] if beside else [head]
        first = head.ljust(len(indent)) if beside else indent
        lines += textwrap.wrap(text, width, initial_indent=first, subsequent_indent=indent)
    return lines


def as_markdown() -> str:
    """The text of conf/README.md."""
    lines = [
        "# The configuration",
        "",
        "Every key of a run, made from the options' classes by `python -m gfflow.reference > conf/README.md`.",
        "On the command line `GROUP=NAME` chooses a part, `KEY=VALUE` changes a value; `--cfg job` prints them all.",
        "",
        "This folder holds what is written by hand: `config.yaml`, with the parts and the keys at the top, and",
        "whole runs in `experiment/`. The parts named below need no files: they are made from the options' classes.",
        "A file `GROUP/NAME.yaml` of your own, put here, is a further choice.",
    ]
    for group in groups():
        lines += ["", f"## `{group.name}`" if group.name else "## At the top", "", group.meaning]
        if group.choices:
            lines += ["", f"| `{group.name}=` | what it is |", "|---|---|"]
            for name, text in group.choices.items():
                text = text or _differences(group, name)
                default = " (default)" if name == group.default else ""
                lines.append(f"| `{name}`{default} | {_cell(text)} |")
        if group.note:
            lines += ["", group.note]
        if group.keys:
            lines += ["", "| key | default | meaning | unit | allowed |", "|---|---|---|---|---|"]
        for key in group.keys:
            cells = [f"`{key.name}`", f"`{key.default}`", _cell(key.meaning), key.unit, _cell(key.allowed)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _differences(group: Group, name: str) -> str:
    """In which keys a preset differs from the defaults."""
    values = presets()[group.name][name]
    usual = {key.name.partition(".")[2]: key.default for key in group.keys}
    changed = [f"{key}={value(given)}" for key, given in values.items() if value(given) != usual[key]]
    return ", ".join(changed) or "all at their defaults"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(as_markdown(), end="")
