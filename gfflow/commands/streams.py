"""What is printed, in whatever encoding the terminal or the pipe has, and as far as it is read."""

from __future__ import annotations

import codecs
import io
import logging
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gfflow.printing import spelt

PACKAGE = Path(__file__).parents[1]


def _spelt(error: UnicodeError) -> tuple[str, int]:
    """What stands for the letters that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    return spelt(error.object[error.start : error.end], error.encoding), error.end


def any_encoding() -> None:
    """Lets stdout and stderr spell out what their encoding lacks (PYTHONIOENCODING=ascii, LANG=C), instead of an
    error in the middle of the output."""
    codecs.register_error("gfflow", _spelt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="gfflow")


class _AsFarAsRead(io.FileIO):
    """A pipe that, once its reader has gone, takes what is written and gives it to nobody."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # for the processes that are started from here, too
            os.close(nowhere)
            return super().write(content)


def as_far_as_read() -> None:
    """Lets the command work on to its end, without a traceback, where its output goes into a pipe whose reader has
    gone (`gfflow-report DIR | head`): a run that lasts for hours is not lost with the window that showed it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is not io.TextIOWrapper or not stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
            continue
        at_once = stream.write_through  # python -u, PYTHONUNBUFFERED
        if not isinstance(getattr(stream.buffer, "raw", stream.buffer), _AsFarAsRead):
            stream.flush()
            pipe = _AsFarAsRead(stream.fileno(), "w", closefd=False)
            binary: Any = pipe if at_once else io.BufferedWriter(pipe)
            shown = stream.encoding, stream.errors, None, stream.line_buffering, at_once
            setattr(sys, name, io.TextIOWrapper(binary, *shown))


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Within it gfflow's own warnings are printed as lines of the command, without the file and the line of code that
    Python names; those of other packages as ever."""
    usual = warnings.formatwarning

    def shown(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        own = issubclass(category, UserWarning) and Path(filename).is_relative_to(PACKAGE)
        return f"gfflow: {message}\n" if own else usual(message, category, filename, lineno, line)

    warnings.formatwarning = shown
    try:
        yield
    finally:
        warnings.formatwarning = usual


def keep_fonts() -> None:
    """Where no folder below the home folder can be written, matplotlib keeps its list of fonts among the temporary
    files, for this process and those that it starts: otherwise each makes one anew, and says so in three lines."""
    if os.name != "posix" or sys.platform == "darwin" or os.environ.get("MPLCONFIGDIR"):
        return
    places = {"XDG_CONFIG_HOME": "~/.config", "XDG_CACHE_HOME": "~/.cache"}
    folders = [Path(os.environ.get(key) or os.path.expanduser(place)) for key, place in places.items()]
    if all(_can_be_made(folder / "matplotlib") for folder in folders):
        return
    from gfflow.compiled import own_temporary_folder  # numba is imported only when it is needed

    if (own := own_temporary_folder()) is not None:
        os.environ["MPLCONFIGDIR"] = str(own / "matplotlib")


def _can_be_made(folder: Path) -> bool:
    """Whether the folder is there, or can be, for this process to write into."""
    there = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), Path("/"))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def prepare() -> None:
    """What every command sets first: its output in any encoding and into any pipe, and figures drawn without a
    window, whatever a notebook's environment says, and without matplotlib's lines on a home folder that cannot be
    written. A terminal without TERM is one that can neither colour nor move back."""
    as_far_as_read()
    any_encoding()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    os.environ["MPLBACKEND"] = "Agg"
    keep_fonts()
    if os.name == "posix":
        os.environ.setdefault("TERM", "dumb")
