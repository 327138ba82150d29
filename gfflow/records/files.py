"""Files that are whole or not there: every file of a run that is written in one go is written through here."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = "*.part.*"  # the pattern of temporary files: what matches it was left by a killed process
_NO_FOLDER_SYNC = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EBADF, errno.EISDIR, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives the path of a temporary file in the same folder, to be written within the block; at its end that file is
    put on the disk and renamed to `path`, so that at any moment the file there is whole: the previous one or the new
    one. The folder is made where it is missing.

    If the block raises, or the disk is full, the previous file stays and the temporary one is removed; an OSError
    that names no file, as that of a full disk, or the temporary one, then names `path`. The temporary file's name has
    the same suffix, from which some writers learn the format: metrics.part.csv for metrics.csv.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes a text file (UTF-8), whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes a binary file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def sync(path: Path) -> None:
    """Puts a file on the disk itself."""
    with open(path, "rb+") as file:  # Windows syncs only what is open for writing
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Puts a folder's list of files on the disk itself, so that a rename outlives a power failure; does nothing on
    systems that cannot (Windows, some network file systems)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
