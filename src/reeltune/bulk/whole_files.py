"""Files that appear whole and stay: safe against a kill, a power cut, and other processes.

A temporary file is locked by the process that writes it. A lock ends with its process, however that
ended, so what nobody holds is a leftover.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from reeltune.errors import RunError

LOCK_FILE: Final = ".lock"
"""Held by the run that writes to a folder; it stays there, empty."""

_SUFFIX: Final = ".part"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a stream to a temporary file that becomes ``path`` when the block succeeds.

    The content is on disk before the name is: even after a power cut ``path`` is whole or missing.
    When the block raises, the temporary file is removed and ``path`` is left as it was.
    """
    temporary, stream = _locked_temporary(path)
    try:
        with stream:
            yield stream
            stream.flush()
            temporary.chmod(0o644)
            os.fsync(stream.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def remove_leftovers(folder: Path) -> list[str]:
    """Remove the temporary files of processes that have ended, and return their names.

    A file that another process is still writing is left alone.
    """
    removed: list[str] = []
    for path in sorted(folder.iterdir()):
        if is_temporary(path.name) and _remove_unless_held(path):
            removed.append(path.name)
    return removed


def is_temporary(name: str) -> bool:
    """Tell whether a file is one that :func:`whole_file` writes before it has its name."""
    return name.startswith(".") and name.endswith(_SUFFIX)


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keep every other run out of a folder during the block.

    Raises:
        RunError: Another run is writing there.
    """
    with (folder / LOCK_FILE).open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                "another run is writing here",
                code="folder_in_use",
                where=str(folder),
                hint="Wait until it ends, or choose another folder",
            ) from None
        yield


def _locked_temporary(path: Path) -> tuple[Path, BinaryIO]:
    """Return a new file beside ``path``, locked, and where it is."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Between its making and its locking, another process may have taken it for a leftover.
        if os.fstat(handle).st_nlink:
            return Path(name), os.fdopen(handle, "wb")
        os.close(handle)


def _remove_unless_held(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), path.open("rb+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink()
        return True
    return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
