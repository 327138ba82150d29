"""What is typed: `python -m gfflow train|report|verify|benchmark ...` (without one of these words it trains), and the
commands gfflow-train and so on. Each imports its own module alone, and Ctrl-C ends that, too, in one line."""

from __future__ import annotations

import gc
import signal
import sys
from importlib import import_module

from gfflow.training.signals import StopSignals, end_at_once

# Python looks for garbage in cycles each time that so many objects have come to be, by itself after 700: through the
# hundred thousands that imports make, none of them garbage, that took a tenth of the time of a short run.
OBJECTS = 50_000

COMMANDS = {
    "train": "gfflow.commands.train:command",
    "report": "gfflow.commands.report:main",
    "verify": "gfflow.commands.verify:main",
    "benchmark": "gfflow.benchmark:main",
}


def main() -> None:
    """Calls the command that the first word names."""
    named = sys.argv[1] if len(sys.argv) > 1 else ""
    if named in COMMANDS:
        del sys.argv[1]
    _run(named if named in COMMANDS else "train")


def train() -> None:
    """gfflow-train"""
    _run("train")


def report() -> None:
    """gfflow-report"""
    _run("report")


def verify() -> None:
    """gfflow-verify"""
    _run("verify")


def benchmark() -> None:
    """gfflow-benchmark"""
    _run("benchmark")


def _run(name: str) -> None:
    gc.set_threshold(OBJECTS)
    module, _, function = COMMANDS[name].partition(":")
    StopSignals.own_process = True
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == default:
            signal.signal(number, end_at_once)  # until the command has its own
    try:
        getattr(import_module(module), function)()
    except KeyboardInterrupt:  # when the command had ended, or within what has no words of its own for it
        print("gfflow: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
