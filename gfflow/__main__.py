"""What is typed: `python -m gfflow train|report|verify|benchmark ...` (without one of these words it trains), and the
commands gfflow-train and so on. Each imports its own module alone, and Ctrl-C ends that, too, in one line."""

from __future__ import annotations

import gc
import os
import signal
import sys
from importlib import import_module
from typing import Any

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
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual:  # while modules are half imported an exception can be lost, or turned into another
        signal.signal(signal.SIGINT, _end)
    command = getattr(import_module(module), function)
    if usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command()
    except KeyboardInterrupt:  # before the command has begun with anything that it would have to say more of
        print("gfflow: interrupted", file=sys.stderr)
        sys.exit(130)


def _end(number: int, _: Any) -> None:
    """Ends a process that has written nothing yet."""
    os.write(2, b"gfflow: interrupted\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
