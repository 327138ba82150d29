"""Nested values as one flat row of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) for every leaf of nested mappings."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def nested(row: Mapping[str, Any]) -> dict[str, Any]:
    """The nested mappings of which `flat` makes the row."""
    tree: dict[str, Any] = {}
    for path, value in row.items():
        *above, last = path.split(".")
        place = tree
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
    return tree


def is_number(value: object) -> bool:
    """Whether the value is an int or a float, and not true or false."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def cell(value: Any) -> str:
    """A value as a CSV file has it; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value)
    return repr(float(value)) if isinstance(value, float) else str(value)
