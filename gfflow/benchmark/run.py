"""The benchmark's command line."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from gfflow.benchmark import processes
from gfflow.benchmark.cases import CASES, FIGURE_2, FIGURE_4, FIGURE_6, LR, Case
from gfflow.benchmark.contestants import as_typed, plain_loop, solver_alone
from gfflow.benchmark.grid import LINES, measure_line
from gfflow.benchmark.large import WIDTHS, measure_many, measure_widths
from gfflow.benchmark.tables import draw, print_lines, print_processes, print_timings, write_csv
from gfflow.benchmark.timing import Timing, paired
from gfflow.threads import at_most

Row = tuple[str, float, str]
SHORT = 50_000  # iterations of Figure 6 that stand for its run: a step's cost does not change


def compare(case: Case, repetitions: int, quick: bool) -> list[Timing]:
    """The plain loop and gfflow's solvers on one of the paper's training sets."""
    data, start = case.training_set(), case.start()
    steps = case.plain_steps // (4 if quick else 1)
    large = data.n * data.d > 1000
    iterations = min(case.iterations, SHORT // (5 if quick else 1)) if large else case.iterations
    contestants: dict[str, Callable[[], float]] = {
        "plain loop": one_thread(lambda: plain_loop(data, start, steps)),
        "plain loop, threads by torch": lambda: plain_loop(data, start, steps),
        "sgd": one_thread(lambda: solver_alone("sgd", data, start, steps)),
        "fused": one_thread(lambda: solver_alone("fused", data, start, iterations)),
        "train.py": lambda: as_typed(case, iterations),
    }
    if case is FIGURE_2:  # its run is so short that the calls, one a leap, cost more than the steps
        contestants["train.py, lr / 10"] = lambda: as_typed(case, 10 * iterations, f"solver.lr={LR / 10}")
    if not quick:
        contestants["train.py solver=flow"] = lambda: as_typed(case, case.iterations, "solver=flow")
    return paired(case.name, contestants, repetitions)


def one_thread(contestant: Callable[[], float]) -> Callable[[], float]:
    """The contestant with one thread, as a run of such a size computes."""

    def limited() -> float:
        with at_most(1):
            return contestant()

    return limited


def whole_processes(timings: list[Timing], quick: bool) -> list[Row]:
    """Wall times of commands, and memory, beside what they are held against."""
    imports, _ = processes.process(processes.IMPORTS)
    main, _ = processes.training("figures=true")
    rows: list[Row] = [
        ("imports of Lightning, Hydra, TensorBoard, s", imports, ""),
        ("the default run, s", main, f"twice the imports plus 3: {2 * imports + 3:.1f}"),
    ]
    brief = (f"experiment={FIGURE_6.experiment}", "solver.iterations=20000")
    count, alone, beside = processes.beside_busy(*brief, repetitions=1 if quick else 3)
    rows.append(("Figure 6, 20000 steps, trained and measured, s", alone, ""))
    rows.append((f"the same beside {count} busy processes, times as long", beside / alone, "3"))
    if quick:
        return rows
    rows.append(("--help, s", processes.training("--help")[0], "1.5"))
    plain = next(t for t in timings if t.case == FIGURE_4.name and t.contestant == "plain loop")
    bare = plain.median * FIGURE_4.iterations
    figure_4, _ = processes.training(*processes.FIGURE_4_RUN)
    rows.append(("Figure 4, 300000 steps, all measured, s", figure_4, f"a third of the plain loop: {bare / 3:.1f}"))
    rows.append(("each further job of a multirun, s", processes.further_job(), "0.5"))
    for iterations in (10**5, 10**7):
        _, memory = processes.training("figures=false", f"solver.iterations={iterations}", "solver.lr=4e-6")
        rows.append((f"peak memory, {iterations:,} steps, MiB", memory, ""))
    return rows


def main() -> None:
    """Times everything, prints it, and writes it to a folder."""
    from gfflow.commands.failures import of_reading
    from gfflow.commands.streams import prepare
    from gfflow.commands.words import command_of, with_version

    prepare()
    parser = argparse.ArgumentParser(
        prog=command_of("benchmark"), description="gfflow's solvers against the plain PyTorch loop"
    )
    parser.add_argument("--quick", action="store_true", help="a rough answer in a few minutes")
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmark"), help="folder for CSV and figure")
    with_version(parser)
    options = parser.parse_args()
    with of_reading("--out DIR"):
        options.out.mkdir(parents=True, exist_ok=True)  # what cannot be written is told before minutes of timing
        if not os.access(options.out, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(options.out))
        _measure(options.quick, options.out)


def _measure(quick: bool, out: Path) -> None:
    """Everything that the command times and writes, with a line before each part."""
    console = Console()
    repetitions = 3 if quick else 9
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {what} ...", file=sys.stderr, flush=True)

    timings: list[Timing] = []
    for case in CASES:
        say(f"timing {case.name}, {repetitions} times each")
        timings += compare(case, repetitions, quick)
    say("timing many samples")
    with at_most(1):
        timings += measure_many(repetitions=1 if quick else 3)
    print_timings(console, timings)
    names = list(LINES)[:1] if quick else list(LINES)
    lines = []
    for name in names:
        say(f"timing a step along {name}")
        with at_most(1):
            lines.append(measure_line(name, repetitions))
    say("timing a step along large widths")
    with at_most(1):
        lines.append(measure_widths(WIDTHS[:3], 20_000) if quick else measure_widths())
    print_lines(console, lines)
    say("timing whole commands")
    rows = whole_processes(timings, quick)
    print_processes(console, rows)
    write_csv(out / "benchmark.csv", timings, lines, rows)
    draw(out / "benchmark.png", lines)
    console.print(f"written to {out}", highlight=False, soft_wrap=True)
