"""What is printed: words that can be pasted into a shell, and letters in encodings that lack them."""

from __future__ import annotations

import os
import re
import shlex
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

SPELT = {
    "λ": "lambda", "ε": "eps", "η": "eta", "α": "alpha", "β": "beta", "Σ": "sum", "θ": "theta", "≤": "<=", "≥": ">=",
    "²": "^2", "±": "+-", "×": "x", "\N{MINUS SIGN}": "-", "…": "...", "─": "-", "━": "-", "│": "|", "•": "*",
    "→": "->", "½": "1/2", "°": " degrees", "·": "*", "′": "'", "\N{THIN SPACE}": " ", "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip


def spelt(letters: str, encoding: str) -> str:
    """The letters, with those that the encoding lacks spelt out; of one that has no name here its code, as Python
    writes it, for names of files that differ in such letters alone stay different."""
    return "".join(
        letter if can_encode(letter, encoding) else SPELT.get(letter) or ascii(letter)[1:-1] for letter in letters
    )


def can_encode(text: str, encoding: str) -> bool:
    """Whether the encoding has all letters of the text."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def in_shell(word: str) -> str:
    """The word in a shell's quotes: double ones, which single ones inside leave readable, where a shell reads nothing
    in them; in $'...', letters by their bytes, where stdout or stderr has an encoding that lacks some of them."""
    if not _can_be_shown(word):
        plain = set(map(chr, range(32, 127))) - set("\\'")
        letters = (chr(byte) if chr(byte) in plain else f"\\x{byte:02x}" for byte in os.fsencode(word))
        return f"$'{''.join(letters)}'"
    return shlex.quote(word) if re.search(r'["$`\\!\n]', word) else f'"{word}"'


def shell_word(value: object) -> str:
    """The value as one word of a shell, in quotes where it needs them."""
    word = str(value)
    return in_shell(word) if "'" in word or not _can_be_shown(word) else shlex.quote(word)


def _can_be_shown(word: str) -> bool:
    streams = (sys.stdout, sys.stderr)
    return all(can_encode(word, getattr(stream, "encoding", None) or "utf-8") for stream in streams)


class SpellingConsole(Console):
    """A console that lays tables out by what its encoding can print of them."""

    def render_str(self, text: str, **options: Any) -> Text:
        """The text with its markup, spelt out where that is needed."""
        return super().render_str(spelt(text, self.encoding), **options)
