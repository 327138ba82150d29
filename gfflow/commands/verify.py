"""The command that checks the paper's statements on a run: gfflow-verify RUN_DIR [OTHER_RUN_DIR]."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from gfflow.commands.failures import of_reading
from gfflow.commands.report import threads_of
from gfflow.commands.streams import prepare
from gfflow.commands.words import command_of, with_version
from gfflow.errors import InvalidInput
from gfflow.records.folder import events_folder
from gfflow.records.run import Run
from gfflow.statements.output import as_markdown, print_report, write
from gfflow.statements.verdicts import verify
from gfflow.threads import at_most


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_of("verify"), description="Checks every statement of the paper on a run."
    )
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument(
        "other", type=Path, nargs="?", help="a second run that differs in init.scale only (Lemma 12, Theorem 1)"
    )
    parser.add_argument("--epsilon", type=float, help="of the lemmas; left out: the largest that B.2 admits")
    with_version(parser)
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Prints the table, writes verification.json and the text in TensorBoard; exit status 2 for bad input."""
    prepare()
    asked = _parser().parse_args(arguments)
    with of_reading():
        if asked.epsilon is not None and not (asked.epsilon > 0 and math.isfinite(asked.epsilon)):
            raise InvalidInput("--epsilon", asked.epsilon, "a positive finite number")
        run = Run.read(asked.run)
        with at_most(threads_of(run)):
            report = verify(run, asked.epsilon, None if asked.other is None else Run.read(asked.other))
        from gfflow.records.dashboard import append_text  # TensorBoard is imported only when it is needed

        print_report(report)
        path = write(report, asked.run)
        append_text(events_folder(asked.run), "verification", as_markdown(report), int(run.metrics["step"][-1]))
        print(f"written to {path}")
