"""What is printed, in whatever encoding the terminal or the pipe has."""

from __future__ import annotations

import codecs
import io
import logging
import os
import sys

SPELT = {
    "λ": "lambda", "ε": "eps", "η": "eta", "α": "alpha", "β": "beta", "Σ": "sum", "θ": "theta", "≤": "<=", "≥": ">=",
    "²": "^2", "±": "+-", "×": "x", "\N{MINUS SIGN}": "-", "…": "...", "─": "-", "━": "-", "│": "|", "•": "*",
    "→": "->", "½": "1/2", "°": " degrees", "·": "*", "′": "'", "\N{THIN SPACE}": " ", "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip


def _spelt(error: UnicodeError) -> tuple[str, int]:
    """What stands for the letters that an encoding lacks; '?' for those that have no name here."""
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return "".join(SPELT.get(letter, "?") for letter in letters), error.end


def any_encoding() -> None:
    """Lets stdout and stderr spell out what their encoding lacks (PYTHONIOENCODING=ascii, LANG=C), instead of an
    error in the middle of the output."""
    codecs.register_error("gfflow", _spelt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="gfflow")


def prepare() -> None:
    """What every command sets first: its output in any encoding, and figures drawn without a window, whatever a
    notebook's environment says, and without matplotlib's lines on a home folder that cannot be written."""
    any_encoding()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    os.environ["MPLBACKEND"] = "Agg"
