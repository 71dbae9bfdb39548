"""Files and folders that appear complete or not at all, locks, and checksums.

A temporary file or folder is locked by the process that writes it. The lock ends with the process,
however it ended, so a temporary that nobody holds is a leftover of a killed process.
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
"""Locked by the run that writes to a folder; the empty file stays there."""

_PART: Final = ".part"
_OLD: Final = ".old"
_CHUNK_BYTES: Final = 1 << 20


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary file that becomes ``path`` when the block succeeds.

    Its content is on disk before it gets its name: even after a power cut ``path`` is complete or
    as it was. When the block raises, the temporary file is removed.
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
    """Give an empty temporary folder that becomes ``path`` when the block succeeds.

    When the block raises, the temporary folder is removed and ``path`` stays as it was. An existing
    folder is moved aside before the new one takes its name, so ``path`` never holds a mixture.
    Leftovers of killed processes that wrote the same path are removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    temporary, handle = _locked_temporary(path, folder=True)
    try:
        yield temporary
        temporary.chmod(0o755)
        _sync_tree(temporary)
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
    """Rename a file, with its content on disk before the rename and the rename on disk after."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def remove_leftovers(folder: Path, name: str = "") -> list[str]:
    """Remove what killed processes left in a folder, and return the names.

    Temporaries that another process is writing are kept, and so is an old version that was moved
    aside as long as no new one has taken its place.

    Args:
        folder: Where to look.
        name: Only leftovers of this file or folder; empty for all.
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
    """Return whether a name is one of :func:`atomic_file` or :func:`atomic_folder`."""
    return name.startswith(".") and name.endswith(_PART)


@contextlib.contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder during the block.

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
    """Write ``value`` to ``path`` as indented UTF-8 JSON, completely or not at all."""
    with atomic_file(path) as temporary:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file's bytes."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
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
        # Before it is locked, another process may take it for a leftover.
        if lock_descriptor(handle, blocking=False) and Path(name).exists():
            return Path(name), handle
        os.close(handle)


def _remove_unless_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        if not lock_descriptor(handle, blocking=False):
            return False
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return True
    finally:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
