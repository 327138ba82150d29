"""`python -m gfflow train|report|verify|benchmark ...`; without one of these words it trains."""

from __future__ import annotations

import sys
from collections.abc import Callable


def main() -> None:
    """Calls the command that the first word names."""
    named = sys.argv[1] if len(sys.argv) > 1 else ""
    if named in ("train", "report", "verify", "benchmark"):
        del sys.argv[1]
    command: Callable[[], None]
    if named == "report":
        from gfflow.commands import report

        command = report.main
    elif named == "verify":
        from gfflow.commands import verify

        command = verify.main
    elif named == "benchmark":
        from gfflow import benchmark

        command = benchmark.main
    else:
        from gfflow.commands import train

        command = train.command
    command()


if __name__ == "__main__":
    main()
