"""The members of an ensemble that have ended, on the disk while the others are trained: what a resumed run goes on
from, and what its statistics are taken from, scalar by scalar."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gfflow.records.ensemble import Kept, Member
from gfflow.records.files import whole_file, write_text

Array = NDArray[np.float64]


class MemberStore:
    """Files of some members each: FIRST.npy, their scalars (scalars, members, iterations); FIRST.npz, kept frames;
    and last, so that what it names is there, FIRST.json."""

    def __init__(self, folder: Path, identity: str, size: int) -> None:
        """`identity` is text that is the same for runs of one configuration: what was written under another is
        removed."""
        self.folder, self.identity, self.size = folder, identity, size
        self._parts: dict[Path, dict[str, Any]] = {}
        for path in sorted(folder.glob("*.json")):
            part = _read(path)
            if part is None or part["identity"] != identity:
                path.unlink()
            else:
                self._parts[path] = part

    @property
    def done(self) -> set[int]:
        """The indices of the members that are here."""
        return {index for part in self._parts.values() for index in part["indices"]}

    def add(self, indices: Sequence[int], members: Sequence[Member]) -> None:
        """Keeps members that have ended, given with their indices."""
        names = list(dict.fromkeys(name for member in members for name in member.curves))
        count = max((len(curve) for member in members for curve in member.curves.values()), default=0)
        curves = np.full((len(names), len(members), count), np.nan)
        for i, name in enumerate(names):
            for j, member in enumerate(members):
                if name in member.curves:
                    curves[i, j] = member.curves[name]
        path = self.folder / f"{indices[0]:08d}.json"
        with whole_file(path.with_suffix(".npy")) as temporary:
            np.save(temporary, curves)
        kept = {index: member.kept for index, member in zip(indices, members, strict=True) if member.kept is not None}
        if kept:
            with whole_file(path.with_suffix(".npz")) as temporary:
                np.savez(
                    temporary, **{f"{index}_{key}": v for index, one in kept.items() for key, v in vars(one).items()}
                )
        part = {
            "identity": self.identity,
            "indices": list(indices),
            "names": names,
            "kept": list(kept),
            "members": [{"seed": m.seed, "row": m.row, "failure": m.failure} for m in members],
        }
        write_text(path, json.dumps(part))
        self._parts[path] = part

    def members(self) -> list[Member]:
        """All of them in their order, without their curves and frames."""
        found: dict[int, Member] = {}
        for part in self._parts.values():
            found |= {index: Member(**m) for index, m in zip(part["indices"], part["members"], strict=True)}
        return [found[index] for index in sorted(found)]

    def names(self) -> list[str]:
        """Of all scalars that some member has."""
        return list(dict.fromkeys(name for path in sorted(self._parts) for name in self._parts[path]["names"]))

    def curves(self, name: str, count: int) -> Array:
        """One scalar of all members at the `count` common iterations, shape (size, count); NaN without a value."""
        values = np.full((self.size, count), np.nan)
        for path, part in self._parts.items():
            if name in part["names"]:
                stored = np.load(path.with_suffix(".npy"), mmap_mode="r")
                values[part["indices"]] = stored[part["names"].index(name)]
        return values

    def kept(self) -> Iterator[tuple[int, Kept]]:
        """The index and the frames of each member whose frames are kept, in order."""
        for path in sorted(self._parts):
            if self._parts[path]["kept"]:
                with np.load(path.with_suffix(".npz")) as file:
                    for index in self._parts[path]["kept"]:
                        yield index, Kept(**{key: file[f"{index}_{key}"] for key in ("step", "w", "a", "x", "y")})

    def remove(self) -> None:
        """Takes everything away."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    """One of the files; None where it is none of these."""
    try:
        part: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        np.load(path.with_suffix(".npy"), mmap_mode="r")
        part["identity"], part["indices"], part["names"], part["kept"], part["members"]
        return part
    except (OSError, ValueError, LookupError, TypeError):
        return None
