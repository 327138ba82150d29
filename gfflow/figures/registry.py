"""The figures of a run, registered by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from matplotlib.figure import Figure

from gfflow.figures.style import styled
from gfflow.records.run import Run

P = ParamSpec("P")
F = TypeVar("F", bound=Figure | None)


@dataclass(frozen=True)
class Drawing:
    """A figure: `draw` takes a finished run and returns the figure, or None where it does not apply to the run."""

    name: str  # of the files, NAME.png and NAME.pdf
    draw: Callable[[Run], Figure | None]
    where: str  # the runs that it applies to, in words
    main: Callable[[Run], bool]  # whether the run itself ends with it, or only `report` draws it
    members: bool = False  # of an ensemble's members; the others are of one run, or of an ensemble's first member


FIGURES: dict[str, Drawing] = {}  # in the order in which they are drawn


def figure(
    name: str, where: str, *, main: bool | Callable[[Run], bool] = False, members: bool = False
) -> Callable[[Callable[P, F]], Callable[P, F]]:
    """Registers a drawing function of a run, which may take further optional arguments, and runs it under the style;
    the function that comes of it also takes the folder of a run.

    Raises ValueError for a name that is taken.
    """

    def register(draw: Callable[P, F]) -> Callable[P, F]:
        if name in FIGURES:
            raise ValueError(f"the figure {name!r} is registered already")

        inner: Any = styled(draw)

        @wraps(draw)
        def drawn(run: Any, *args: Any, **kwargs: Any) -> Any:
            return inner(run if isinstance(run, Run) else Run.read(run), *args, **kwargs)

        asked = main if callable(main) else lambda run: main
        FIGURES[name] = Drawing(name, drawn, where, asked, members)
        made: Any = drawn
        return made

    return register
