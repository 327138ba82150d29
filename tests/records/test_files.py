"""Files are whole or not there, and the disk has them before their names change."""

import errno
import os
import re
from pathlib import Path

import pytest

from gfflow.commands.failures import one_line, status_of
from gfflow.commands.session import Session
from gfflow.config import RunConfig
from gfflow.records import files
from gfflow.records.files import sync_folder, whole_file, write_text
from gfflow.run import train

PACKAGE = Path(files.__file__).resolve().parents[1]


def test_the_previous_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "made" / "table.csv"
    write_text(path, "old")
    with whole_file(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == path.suffix
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_keeps_the_previous_file_and_leaves_nothing_else(error, tmp_path):
    path = tmp_path / "summary.json"
    write_text(path, "old")

    def fail() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_the_file_that_could_not_be_written(tmp_path):
    path = tmp_path / "metrics.csv"

    def fail(error: OSError) -> None:
        with whole_file(path):
            raise error

    for error in (OSError(errno.ENOSPC, "full"), OSError(errno.EFBIG, "full", str(tmp_path / "metrics.part.csv"))):
        with pytest.raises(OSError, match="full") as caught:
            fail(error)
        assert status_of(caught.value) == 4
        assert one_line(caught.value) == f"{path}: cannot be written (full)"
    elsewhere = OSError(errno.ENOSPC, "full")  # where the file is not known, its folder is told
    with Session() as session:
        session.run = tmp_path
        assert one_line(elsewhere) == f"a file in {tmp_path}: cannot be written (full)"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads the names of open files in /proc")
def test_file_then_rename_then_folder(monkeypatch, tmp_path):
    """The order without which a power failure can leave an empty file under the right name."""
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (done.append(os.readlink(f"/proc/self/fd/{descriptor}")), fsync(descriptor))
    )
    monkeypatch.setattr(Path, "replace", lambda self, to: (done.append(f"{self} to {to}"), replace(self, to)))
    write_text(tmp_path / "a.txt", "text")
    temporary = tmp_path / "a.part.txt"
    assert done == [str(temporary), f"{temporary} to {tmp_path / 'a.txt'}", str(tmp_path)]


def test_a_folder_that_cannot_be_synced_is_no_error_and_a_broken_disk_is(monkeypatch, tmp_path):
    def failing(number):
        def fsync(_):
            raise OSError(number, os.strerror(number))

        return fsync

    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)


def test_no_other_file_renames_or_writes_whole_files_itself():
    """Where a file is opened for writing, it is a temporary one of whole_file, or the lock."""
    writing = re.compile(r"\.write_(text|bytes)\(|open\([^)]*\"w|\.replace\((self\.)?path|os\.(replace|rename)\(")
    found = []
    for path in PACKAGE.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if writing.search(line) and "whole_file(" not in line and path.name != "files.py":
                found.append((path.name, line.strip()))
    assert [name for name, _ in found] == ["folder.py"], found


def test_a_new_run_removes_no_file_that_was_there_before(tmp_path):
    """Only what a run of gfflow's left half-written is cleared away."""
    for name in ("notes.part.txt", "film.part1.rar"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "metrics.part.csv").write_text("being written by another run")
    config = RunConfig.of({"solver": {"iterations": 10}, "figures": False, "verbose": False})
    train(config, tmp_path)
    assert (tmp_path / "notes.part.txt").exists() and (tmp_path / "film.part1.rar").exists()
    assert (tmp_path / "other" / "metrics.part.csv").exists()
