"""`python -m gfflow train|report|verify|benchmark ...`; without one of these words it trains."""

from __future__ import annotations

import sys


def main() -> None:
    """Calls the command that the first word names."""
    named = sys.argv[1] if len(sys.argv) > 1 else ""
    if named in ("train", "report", "verify", "benchmark"):
        del sys.argv[1]
    if named == "report":
        from gfflow.commands.report import main as command
    elif named == "verify":
        from gfflow.commands.verify import main as command
    elif named == "benchmark":
        from gfflow.benchmark import main as command
    else:
        from gfflow.commands.train import command
    command()


if __name__ == "__main__":
    main()
