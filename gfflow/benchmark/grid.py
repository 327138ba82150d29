"""How the cost of a step grows with m, n and d."""

from __future__ import annotations

from dataclasses import dataclass

from gfflow.benchmark.cases import gaussian_set
from gfflow.benchmark.contestants import plain_loop, solver_alone, steps_for
from gfflow.benchmark.timing import Timing, paired, slope
from gfflow.model.initialization import draw_start
from gfflow.solvers.fused import choose_form

LINES = {  # name: the shapes (n, d, m) along it
    "m at n=5, d=2": [(5, 2, m) for m in (250, 500, 1000, 2000, 4000)],
    "m at n=40, d=80": [(40, 80, m) for m in (100, 200, 400, 800, 1600)],
    "n at d=2, m=200": [(n, 2, 200) for n in (16, 32, 64, 128, 256)],
    "n at d=150, m=200": [(n, 150, 200) for n in (16, 32, 64, 128, 256)],
    "d at n=75, m=200": [(75, d, 200) for d in (2, 8, 32, 128, 512)],
}


@dataclass(frozen=True)
class Line:
    """Timings along one axis of the grid."""

    axis: str
    sizes: list[int]
    timings: list[tuple[Timing, Timing]]  # plain loop and fused, size by size
    forms: list[str]

    @property
    def exponents(self) -> tuple[float, float]:
        """p of cost ~ size^p of the plain loop and of fused, over the three largest sizes: beyond fixed costs."""
        plain, fused = ([pair[i].median for pair in self.timings] for i in (0, 1))
        return slope(self.sizes[-3:], plain[-3:]), slope(self.sizes[-3:], fused[-3:])


def measure_line(name: str, repetitions: int) -> Line:
    """Times the plain loop and the fused solver along one line."""
    shapes, axis = LINES[name], name[0]
    timings = []
    for n, d, m in shapes:
        data, start = gaussian_set(n, d), draw_start(m, d, 1e-3, seed=0)
        fused_steps = steps_for(0.02, data, start)
        first, second = paired(
            f"n={n} d={d} m={m}",
            {
                "plain loop": lambda data=data, start=start: plain_loop(data, start, 40),  # type: ignore[misc]
                "fused": lambda data=data, start=start, steps=fused_steps: (  # type: ignore[misc]
                    solver_alone("fused", data, start, steps)
                ),
            },
            repetitions,
        )
        timings.append((first, second))
    sizes = [shape["ndm".index(axis)] for shape in shapes]
    return Line(name, sizes, timings, [choose_form(n, d, diagonal=n == 1) for n, d, _ in shapes])
