"""Options with meanings and limits, and registries of what can be chosen by name; nothing here or in the modules that
register imports torch, so that the command line can explain itself at once.

An option is a field of a frozen dataclass derived from `Options`, and its limit is declared there, once: the
configuration, the functions that take the same value from Python, `--help` and conf/README.md all use it.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin, get_type_hints

from gfflow.errors import InvalidInput

NUMBERS = tuple[float, ...]  # the type of an option that is a list of numbers
WORDS = tuple[str, ...]  # of one that is a list of words


@dataclass(frozen=True)
class Limit:
    """The values that an option may have: in words, and as a test of one value of the right type."""

    words: str
    holds: Callable[[Any], bool]
    registry: Registry[Any] | None = None  # whose names the values are

    @property
    def allowed(self) -> str:
        """In words; the names of a registry are those that it holds by now."""
        return self.words if self.registry is None else f"one of {', '.join(self.registry)}"


def number(value: float) -> str:
    """A number as people write it: 1e-06 is 1e-6."""
    mantissa, e, exponent = f"{value:g}".partition("e")
    return f"{mantissa}{e}{int(exponent)}" if e else mantissa


def at_least(least: int) -> Limit:
    """Integers from `least` on."""
    return Limit(f"an integer of at least {least}", lambda v: v >= least)


def between(low: float, high: float) -> Limit:
    """Numbers from low to high, both included."""
    return Limit(f"a number between {number(low)} and {number(high)}", lambda v: low <= v <= high)


POSITIVE = Limit("a positive finite number", lambda v: v > 0 and math.isfinite(v))


def one_of(names: Mapping[str, Any] | Sequence[str]) -> Limit:
    """One of some words, or of the names of a registry."""
    if isinstance(names, Registry):
        return Limit("", lambda v: v in names, names)
    return Limit(f"one of {', '.join(names)}", lambda v: v in names)


def option(default: Any, meaning: str, limit: Limit | None = None, unit: str = "", needed: bool = False) -> Any:
    """A field of Options: its default, what it means, its limit and its unit. `needed`: null, the default, is refused
    by whoever uses the value, so that a person has to give one."""
    return field(default=default, metadata={"meaning": meaning, "limit": limit, "unit": unit, "needed": needed})


@dataclass(frozen=True)
class Options:
    """Values under one key of the configuration, checked against their limits whenever an instance is made."""

    group: ClassVar[str] = ""  # the key under which they stand; '' for those at the top

    def __post_init__(self) -> None:
        self.check(**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)})

    @classmethod
    def key(cls, name: str) -> str:
        """The full key of an option: 'solver.lr'."""
        return f"{cls.group}.{name}" if cls.group else name

    @classmethod
    def check(cls, **values: Any) -> None:
        """Raises InvalidInput where one of the values, given by option, is outside that option's limit."""
        for name, value in values.items():
            spec = cls.__dataclass_fields__[name]
            limit = spec.metadata.get("limit")
            if limit is None or (value is None and type(None) in get_args(_hints(cls)[name])):
                continue
            try:
                good = limit.holds(value)
            except (TypeError, ValueError):
                good = False
            if not good:
                raise InvalidInput(cls.key(name), value, allowed(cls, name))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From plain values, as a YAML file gives them; raises InvalidInput naming the key that is unknown, has the
        wrong type, or lies outside its limit."""
        fields = {f.name: f for f in dataclasses.fields(cls)}
        if not isinstance(values, Mapping):
            example = {next(iter(fields)): ...} if cls.group else {"seed": 1}
            allowed = f"keys and their values, such as {example}".replace("Ellipsis", "...")
            raise InvalidInput(cls.group or "configuration", values, allowed)
        hints = _hints(cls)
        made = {}
        for name, value in values.items():
            if name not in fields:
                raise InvalidInput(cls.key(str(name)), value, no_such_key(str(name), fields))
            made[name] = _typed(cls, fields[name], hints[name], value)
        return cls(**made)

    @classmethod
    def description(cls) -> str:
        """What they are, in a line: the docstring's first paragraph."""
        document = (cls.__doc__ or "").strip() if sys.flags.optimize < 2 else ""
        return " ".join(document.split("\n\n")[0].split())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, from which `of` makes equal options."""
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}


_hints: Any = cache(get_type_hints)  # takes longer than the checks


class Entry(Options, ABC):
    """Options that are chosen by a name within their group; a registry gives the name."""

    name: ClassVar[str] = ""

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **super().to_dict()}


E = TypeVar("E", bound=Entry)


class Registry(Mapping[str, type[E]], Generic[E]):
    """What can be chosen by name under one key of the configuration: name -> options class, in the order in which
    they were registered; the first is the default."""

    def __init__(self, group: str, note: str = "") -> None:
        self.group = group
        self.note = note  # what --help and conf/README.md say of the whole group
        self.entries: dict[str, type[E]] = {}

    def register(self, name: str) -> Callable[[type[E]], type[E]]:
        """A decorator for the options class of one entry: a frozen dataclass with a docstring, whose fields are all
        made by `option`. Raises TypeError where something is missing, ValueError for a name that is taken."""

        def add(cls: type[E]) -> type[E]:
            if name in self.entries:
                raise ValueError(f"{self.group}: {name} is registered already")
            document = vars(cls).get("__doc__") or ""
            generated = document.startswith(f"{cls.__name__}(")  # by the dataclass itself
            undocumented = (not document or generated) and sys.flags.optimize < 2  # python -OO drops docstrings
            if "__dataclass_fields__" not in vars(cls) or undocumented:
                raise TypeError(f"{self.group}: {name} needs a frozen dataclass of its own with a docstring")
            bare = [f.name for f in dataclasses.fields(cls) if not f.metadata.get("meaning")]
            if bare:
                raise TypeError(f"{self.group}: {name} has options without a meaning: {', '.join(bare)}")
            cls.name, cls.group = name, self.group
            self.entries[name] = cls
            return cls

        return add

    def __getitem__(self, name: str) -> type[E]:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def default(self) -> str:
        """The name taken where none is given."""
        return next(iter(self.entries))

    def named(self, name: Any) -> type[E]:
        """The options class of that name; raises InvalidInput for an unknown one."""
        if not isinstance(name, str) or name not in self.entries:
            near = get_close_matches(str(name), self.entries, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidInput(f"{self.group}.name", name, f"one of {', '.join(self.entries)}{hint}")
        return self.entries[name]

    def of(self, values: Mapping[str, Any]) -> E:
        """The options of the entry that `name` names, from plain values; raises InvalidInput."""
        if not isinstance(values, Mapping):
            given = values if values in list(self.entries) else self.default
            allowed = f"keys and their values, such as {{'name': {given!r}}}"
            raise InvalidInput(self.group, values, allowed)
        cls = self.named(values.get("name", self.default))
        return cls.of({key: value for key, value in values.items() if key != "name"})

    def defaults(self, name: str) -> dict[str, Any]:
        """The plain values that stand under the group's key where the entry is chosen."""
        return self[name]().to_dict()

    def common(self) -> list[str]:
        """The options that every entry takes."""
        names = [[f.name for f in dataclasses.fields(cls)] for cls in self.values()]
        return [name for name in names[0] if all(name in other for other in names)]


def chosen(registry: Registry[Any]) -> Any:
    """A field of Options that holds the options of one entry of a registry."""
    return field(default_factory=lambda: registry.of({}), metadata={"registry": registry})


def group(cls: type[Options]) -> Any:
    """A field of Options that holds a group of options."""
    return field(default_factory=cls)


def no_such_key(name: str, known: Mapping[str, Any]) -> str:
    """What to say of a key that does not exist, with the nearest one that does."""
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"no such key; {hint}one of {', '.join(known)}" if known else "no such key; none for this choice"


def allowed(cls: type[Options], name: str) -> str:
    """What an option may be, in words: 'null or an integer of at least 1'."""
    spec = cls.__dataclass_fields__[name]
    hint = _hints(cls)[name]
    limit = spec.metadata.get("limit")
    words = limit.allowed if limit is not None else " or ".join(_WORDS[o] for o in _alternatives(hint))
    return f"null or {words}" if type(None) in get_args(hint) and not spec.metadata.get("needed") else words


_WORDS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a word",
    NUMBERS: "a list of numbers",
    WORDS: "a list of words",
}


def _alternatives(hint: Any) -> list[Any]:
    """The types that an annotation allows, None left out: int | None is [int]."""
    if get_origin(hint) is tuple:
        return [hint]
    return [option for option in get_args(hint) if option is not type(None)] or [hint]


def _typed(cls: type[Options], spec: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    if "registry" in spec.metadata:
        return spec.metadata["registry"].of(value)
    if dataclasses.is_dataclass(hint):
        return hint.of(value)  # type: ignore[union-attr]
    if value is None and type(None) in get_args(hint):
        return None
    for kind in _alternatives(hint):
        converted = _converted(kind, value)
        if converted is not None:
            return converted
    shown = repr(value) if _reads_like_a_number(value) else value
    raise InvalidInput(cls.key(spec.name), shown, allowed(cls, spec.name))


def _reads_like_a_number(value: Any) -> bool:
    """Whether it is a word such as '1e-3', which some readers of YAML make of the number."""
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def _converted(kind: Any, value: Any) -> Any:
    """The value as the type, None where it is none: no silent truncation, no bool for a number. A scalar or an array
    of NumPy or PyTorch counts as the number or the list that it holds."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is bool:
        return value if isinstance(value, bool) else None
    if kind is int:
        return int(value) if is_number and math.isfinite(value) and value == int(value) else None
    if kind is float:
        return _float(value) if is_number else None
    if kind is str:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        return value if isinstance(value, str) else None
    if isinstance(value, (list, tuple)):
        entries = [_converted(get_args(kind)[0], entry) for entry in value]
        return None if None in entries else tuple(entries)
    return None


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond the largest float
        return math.inf if value > 0 else -math.inf


def plain(value: Any) -> Any:
    """A value as YAML and JSON have it."""
    if isinstance(value, Options):
        return value.to_dict()
    return list(value) if isinstance(value, tuple) else value
