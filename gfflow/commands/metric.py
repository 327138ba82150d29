"""`optimized_metric`: whether a summary.json will have a number at a dotted path, said before training."""

from __future__ import annotations

import types
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from gfflow.commands.jobs import no_number, no_such_path
from gfflow.config import RunConfig
from gfflow.records.ensemble import NOT_IN_ROWS, OF_NUMBERS
from gfflow.records.event_names import EVENT_NAMES, SADDLE_EVENT
from gfflow.records.summary import Event, SolverRecord, Summary, Theory

Tree = dict[str, Any]  # names -> what is below them, a Tree or the type of a value
ANYTHING = object()  # below it any name may stand: what is there is known once training has ended


def check_metric(path: str, ensemble: bool = False) -> None:
    """Raises InvalidInput, with the path that is most like it, for one at which no summary.json has a number; of an
    `ensemble` it has the statistics of members too. What some runs have and others lack, such as a third saddle or
    what a solver counts, passes: a run says at its end whether it is there."""
    tree = paths(ensemble)
    place: Any = tree
    passed: list[str] = []
    for key in path.split("."):
        if place is ANYTHING:
            return
        if isinstance(place, dict) and SADDLE_EVENT.fullmatch(key) and passed == ["events"]:
            key = "saddle_1_reached"
        if not isinstance(place, dict) or key not in place:
            raise no_such_path(path, passed, place, _hint(path, tree))
        place = place[key]
        passed.append(key)
    if place is not ANYTHING and not _is_number(place):
        raise no_number(path, _hint(path, tree))


def paths(ensemble: bool = False) -> Tree:
    """What summary.json may have, as nested names with the types of values."""
    tree = {name: value for name, value in _below(Summary).items() if name != "ensemble"}
    tree["events"] = {name: _below(Event) for name in (*EVENT_NAMES, "saddle_1_reached", "saddle_1_left")}
    tree["config"] = {name: ANYTHING if isinstance(v, dict) else type(v) for name, v in RunConfig().to_dict().items()}
    if ensemble:
        members = {name: _statistics(value) for name, value in tree.items() if name not in NOT_IN_ROWS}
        tree["ensemble"] = {"size": int, "failed": {"count": int}, "empty": ANYTHING, **members}
    return tree


def _below(kind: Any) -> Any:
    """The tree of a dataclass of the summary, or the type of one value, without None."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        found = {("lambda" if (kind, name) == (Theory, "scale") else name): _below(hints[name]) for name in hints}
        if kind is SolverRecord:
            return ANYTHING
        return found
    alternatives = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    (own,) = [one for one in alternatives if one is not type(None)]
    if own is not kind:
        return _below(own)
    if getattr(kind, "__origin__", None) is dict:
        return {"least_squares": _below(get_args(kind)[1]), "minimum_norm": _below(get_args(kind)[1])}
    return kind


def _statistics(place: Any) -> Any:
    """The same tree with mean, quantiles and count below each of its numbers."""
    if isinstance(place, dict):
        return {name: _statistics(value) for name, value in place.items()}
    return dict.fromkeys((*OF_NUMBERS, "count"), float) if _is_number(place) else place


def _is_number(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, (int, float))


def _leaves(place: Any, path: str = "") -> list[str]:
    if isinstance(place, dict):
        return [leaf for name, below in place.items() for leaf in _leaves(below, f"{path}.{name}" if path else name)]
    return [path] if _is_number(place) else []


def _hint(path: str, tree: Tree) -> str:
    """'; did you mean final.loss?' for final.lost, and for loss."""
    leaves = _leaves(tree)
    ends = [leaf for leaf in leaves if leaf.endswith(f".{path}")]
    own = [leaf for leaf in ends if leaf.startswith("final.")] or ends
    near = own or get_close_matches(path, leaves, n=1) or get_close_matches(f"final.{path}", leaves, n=1)
    return f"; did you mean {near[0]}?" if near else ""
