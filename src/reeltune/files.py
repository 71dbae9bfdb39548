"""Files and folders that appear complete or not at all, locks, and checksums.

The process that writes a temporary file or folder locks it. The lock ends with the process, so an
unlocked temporary is a leftover of a killed process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout, lock_descriptor

from reeltune.errors import RunError

LOCK_FILE: Final = ".lock"
"""Locked while a run writes to the folder; the empty file stays."""

_PART: Final = ".part"
_OLD: Final = ".old"


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file that becomes ``path`` if the block succeeds.

    It is synced before it is renamed: even after a power cut ``path`` is either old or complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, handle = _locked_temporary(path, folder=False)
    try:
        yield temporary
        temporary.chmod(0o644)
        replace_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes ``path`` if the block succeeds.

    An existing folder is moved aside before the new one is renamed, so ``path`` never holds a
    mixture. Leftovers of killed processes that wrote the same path are removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    temporary, handle = _locked_temporary(path, folder=True)
    try:
        yield temporary
        temporary.chmod(0o755)
        for file in (*temporary.rglob("*"), temporary):
            _sync(file)
        if path.exists():
            aside, aside_handle = _locked_temporary(path, folder=True, suffix=_OLD)
            path.replace(aside / path.name)
            temporary.replace(path)
            shutil.rmtree(aside)
            os.close(aside_handle)
        else:
            temporary.replace(path)
        _sync(path.parent)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
        os.close(handle)


def replace_durably(temporary: Path, path: Path) -> None:
    """Rename a file; sync its content before and the rename after."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def remove_leftovers(folder: Path, name: str = "") -> list[str]:
    """Remove leftovers of killed processes from a folder; return their names.

    Temporaries locked by other processes are kept, and so is an old version that was moved aside
    while no new one has its name. With ``name``, only leftovers of that file or folder.
    """
    removed: list[str] = []
    for path in sorted(folder.iterdir()):
        target = path.name[1:].rsplit(".", 2)[0]
        if not path.name.startswith(".") or name not in ("", target):
            continue
        replaced = path.suffix == _OLD and (folder / target).exists()
        if (is_temporary(path.name) or replaced) and _remove_unless_locked(path):
            removed.append(path.name)
    return removed


def is_temporary(name: str) -> bool:
    """Return whether a name is that of an unfinished file or folder."""
    return name.startswith(".") and name.endswith(_PART)


@contextlib.contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """Lock a folder against other runs during the block.

    Raises:
        RunError: Another run is writing there.
    """
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(
            "another run is writing here",
            code="folder_in_use",
            where=str(folder),
            hint="Wait until it ends, or choose another folder",
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, completely or not at all."""
    with atomic_file(path) as temporary:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file's bytes."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return digest.hexdigest()


def _locked_temporary(path: Path, *, folder: bool, suffix: str = _PART) -> tuple[Path, int]:
    """Create a temporary file or folder beside ``path``; return it and its locked descriptor."""
    prefix = f".{path.name}."
    while True:
        if folder:
            name = tempfile.mkdtemp(suffix, prefix, path.parent)
            handle = os.open(name, os.O_RDONLY)
        else:
            handle, name = tempfile.mkstemp(suffix, prefix, path.parent)
        # Another process may have removed it as a leftover before it was locked.
        if lock_descriptor(handle, blocking=False) and Path(name).exists():
            return Path(name), handle
        os.close(handle)


def _remove_unless_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        unlocked = lock_descriptor(handle, blocking=False)
        if unlocked and path.is_dir():
            shutil.rmtree(path)
        elif unlocked:
            path.unlink(missing_ok=True)
        return unlocked
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
