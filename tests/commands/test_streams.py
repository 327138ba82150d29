"""What is printed goes where it is read, and nowhere once nobody reads."""

import io
import os
import subprocess
import sys
import warnings

import pytest

import gfflow.model.data
from gfflow.commands.streams import as_far_as_read, keep_fonts, warnings_in_one_line

SHORT = """
import sys
from gfflow.commands.streams import prepare
prepare()
print("x" * 100_000, flush=True)
print("y", file=sys.stderr)
"""


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_pipe_whose_reader_has_gone_takes_what_is_left(name, unbuffered, monkeypatch):
    """As it is, and with python -u: what is printed arrives at once."""
    reading, writing = os.pipe()
    raw = os.fdopen(writing, "wb", buffering=0 if unbuffered else -1)
    given = io.TextIOWrapper(raw, "ascii", "replace", line_buffering=not unbuffered, write_through=unbuffered)
    monkeypatch.setattr(sys, name, given)
    as_far_as_read()
    as_far_as_read()  # changes nothing more
    stream = getattr(sys, name)
    print("read: \N{GREEK SMALL LETTER LAMDA}", file=stream)
    assert os.read(reading, 100) == b"read: ?\n"
    os.close(reading)
    for _ in range(3):
        print("x" * 100_000, file=stream, flush=True)
    given.close()


def test_a_command_ends_quietly_when_its_reader_has_gone():
    process = subprocess.Popen([sys.executable, "-c", SHORT], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b"y\n" and process.wait(timeout=60) == 0


def test_what_is_no_pipe_is_left_alone(monkeypatch, tmp_path):
    with open(tmp_path / "log", "w") as log:
        monkeypatch.setattr(sys, "stdout", log)
        monkeypatch.setattr(sys, "stderr", None)  # closed by whoever called
        as_far_as_read()
        assert sys.stdout is log and sys.stderr is None


def test_own_warnings_are_lines_of_the_command():
    own = UserWarning("labels say little"), UserWarning, gfflow.model.data.__file__, 7
    others = UserWarning("labels say little"), UserWarning, __file__, 7
    usual = warnings.formatwarning(*own)
    with warnings_in_one_line():
        assert warnings.formatwarning(*own) == "gfflow: labels say little\n"
        assert warnings.formatwarning(*others).startswith(f"{__file__}:7: UserWarning")
    assert warnings.formatwarning(*own) == usual


@pytest.mark.parametrize("home", ["afile", "absent/below/afile", "fine"])
def test_fonts_are_kept_among_temporary_files_where_the_home_folder_cannot_be_written(home, monkeypatch, tmp_path):
    """Told by a file in the folder's place: who may do everything may write into any folder."""
    (tmp_path / "afile").write_text("")
    (tmp_path / "absent" / "below").mkdir(parents=True)
    (tmp_path / "absent" / "below" / "afile").write_text("")
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / home))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    keep_fonts()
    found = os.environ.pop("MPLCONFIGDIR", None)
    assert found == (None if home == "fine" else str(tmp_path / f"gfflow-{os.getuid()}" / "matplotlib"))
