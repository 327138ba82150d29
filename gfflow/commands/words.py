"""The words of a command line: paths taken as people type them, and values printed so that they can be pasted."""

from __future__ import annotations

import io
import os
import re
import sys
from argparse import ArgumentParser
from collections.abc import Collection, Iterator, Sequence
from contextlib import redirect_stderr
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import HydraException

from gfflow.printing import in_shell, shell_word

PATHS = (
    "data.path",
    "data.test_path",
    "init.path",
    "resume",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
)
TEXTS = ("name", "data.label", *PATHS)  # keys whose values are words that a person chooses freely
_WORDS = ("", "true", "auto", "null")  # what resume= takes beside paths
_PLAIN = re.compile(r"[A-Za-z0-9_./@%+:-]+")  # what neither a shell nor Hydra's grammar reads as anything else


def quoted(value: str) -> str:
    """The value in the quotes of Hydra's grammar, in which only they and backslashes before them are escaped."""
    inner = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", value)
    trailing = re.search(r"\\*$", inner)
    return f"'{inner}{trailing[0] if trailing else ''}'"


def override(key: str, value: str | Path) -> str:
    """`key=value` as it can be pasted into a shell."""
    text = str(value)
    plain = _PLAIN.fullmatch(text) and not _reads_otherwise(f"{key}={text}")
    return f"{key}={text}" if plain else in_shell(f"{key}={quoted(text)}")


def command_of(name: str) -> str:
    """How the command `name` ('train', 'report', ...) is typed, in the way in which the one under way was."""
    own = Path(sys.argv[0])
    if own.parent.name == "scripts" and own.suffix == ".py":
        return f"python {shell_word(own.with_name(f'{name}.py'))}"
    return f"python -m gfflow {name}" if own.name == "__main__.py" else f"gfflow-{name}"


def with_version(parser: ArgumentParser) -> None:
    """Lets the command say gfflow's version."""
    from gfflow import __version__

    parser.add_argument("--version", action="version", version=f"gfflow {__version__}")


def as_typed(arguments: Sequence[str]) -> list[str]:
    """The command line with the values of TEXTS made fit for Hydra's grammar: `~` is the home folder, and a value
    that the grammar cannot read, or that is the path of something there, is taken literally. Of a run that goes on
    the folder is where Hydra works too: none is made where the command was typed."""
    sweeping = "-m" in arguments or "--multirun" in arguments
    made = [_made_fit(argument, sweeping) for argument in arguments]
    folder = next((word.partition("=")[2] for word in made if word.startswith("resume=")), "")
    elsewhere = any(word.startswith(("hydra.run.dir=", "hydra.mode=")) for word in made)
    begun = Path(_unquoted(folder)) / ".hydra" / "config.yaml"
    if sweeping or elsewhere or folder.lower() in _WORDS or not _is_there(begun):
        return made
    return [*made, f"hydra.run.dir={folder}"]


def _unquoted(value: str) -> str:
    """The value as Hydra's grammar reads it."""
    try:
        return str(OverridesParser.create().parse_override(f"x={value}").value())
    except HydraException:
        return value


def _made_fit(argument: str, sweeping: bool) -> str:
    key, equals, value = argument.partition("=")
    if not equals or key.lstrip("+") not in TEXTS or value[:1] in ("'", '"') or value.lower() in _WORDS:
        return argument
    literal = value
    if key.lstrip("+") in PATHS and value.startswith("~"):
        literal = os.path.expanduser(value)
        argument = f"{key}={literal}"
    sweeping = sweeping and not key.startswith("hydra.")  # which Hydra does not sweep over
    if _reads(argument, sweeping) and not (_reads_otherwise(argument) and _is_there(literal)):
        return argument
    return f"{key}={quoted(literal)}"


def misused_option(arguments: Sequence[str]) -> str:
    """What is wrong with the options among the words, '' where nothing is."""
    _, others, error = _parsed(arguments)
    unknown = [word for word in others if word.startswith("-")]
    return error or (f"{unknown[0]}: no such option; --help lists what there is" if unknown else "")


def _parsed(arguments: Sequence[str]) -> tuple[list[str], list[str], str]:
    """Hydra's reading of the words: its overrides, what it does not know, and what it says where it can read none."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            known, others = get_args_parser().parse_known_args(list(arguments))
    except SystemExit:
        return [], [], said.getvalue().strip().rpartition("error: ")[2]
    return known.overrides, others, ""


def unreadable(arguments: Sequence[str]) -> str | None:
    """The first override that Hydra's grammar cannot read; None where it can read all."""
    for argument in _parsed(arguments)[0]:
        try:
            OverridesParser.create().parse_override(argument)
        except HydraException:
            return argument
    return None


def nameless(arguments: Sequence[str], groups: Collection[str]) -> Iterator[tuple[str, object]]:
    """The groups of the configuration for which the command line has something else than names, and what it has."""
    for argument in _parsed(arguments)[0]:
        parsed = OverridesParser.create().parse_override(argument)
        given = parsed.value() if parsed.key_or_group in groups and not parsed.is_delete() else ""
        for value in given.list if isinstance(given, ChoiceSweep) else [given]:
            if isinstance(value, (int, float, dict, type(None))):
                yield parsed.key_or_group, argument.partition("=")[2]
                break


def _reads(argument: str, sweeping: bool) -> bool:
    """Whether Hydra's grammar reads the override, and not as values of a sweep where there is none."""
    try:
        parsed = OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return sweeping or not parsed.is_sweep_override()


def _reads_otherwise(argument: str) -> bool:
    """Whether Hydra takes the value for anything but the word itself: a list, a number, several values, `a b`."""
    value = OverridesParser.create().parse_override(argument).value()
    return value != argument.partition("=")[2]


def _is_there(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # such as a name that is too long
        return False


def keys_of_one_value(arguments: Sequence[str]) -> set[str]:
    """The keys that the command line gives one value for all jobs of a sweep."""
    found = set()
    for argument in arguments:
        if "=" in argument:
            try:
                parsed = OverridesParser.create().parse_override(argument)
            except HydraException:
                continue
            found |= set() if parsed.is_sweep_override() else {parsed.key_or_group}
    return found
