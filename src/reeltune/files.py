"""Files and folders that appear complete or not at all, locks, and checksums.

The process that writes a temporary file or folder holds a lock on a file beside it. The lock ends
with the process, so an unlocked temporary is a leftover of a killed process. Temporaries themselves
are never open when they are renamed, and only files are opened, as Windows requires.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout, lock_descriptor

from reeltune.errors import RunError

LOCK_FILE: Final = ".lock"
"""Locked while a run writes to the folder; the empty file stays."""

_PART: Final = ".part"
_OLD: Final = ".old"
_LOCK: Final = ".lock"

_WINDOWS: Final = os.name == "nt"


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file that becomes ``path`` if the block succeeds.

    It is synced before it is renamed: even after a power cut ``path`` is either old or complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked_name(path, _PART) as temporary:
        temporary.touch(0o600, exist_ok=False)
        yield temporary
        temporary.chmod(0o644)
        replace_durably(temporary, path)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes ``path`` if the block succeeds.

    An existing folder is moved aside before the new one is renamed, so ``path`` never holds a
    mixture. Leftovers of killed processes that wrote the same path are removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    with _locked_name(path, _PART) as temporary:
        temporary.mkdir(0o700)
        yield temporary
        temporary.chmod(0o755)
        for file in (*temporary.rglob("*"), temporary):
            _sync(file)
        if path.exists():
            with _locked_name(path, _OLD) as aside:
                aside.mkdir()
                path.replace(aside / path.name)
                temporary.replace(path)
        else:
            temporary.replace(path)
        _sync(path.parent)


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
    for temporary in sorted({path.name.removesuffix(_LOCK) for path in folder.iterdir()}):
        target = temporary[1:].rsplit(".", 2)[0]
        if not _is_hidden(temporary, _PART, _OLD) or name not in ("", target):
            continue
        path = folder / temporary
        handle = _try_lock(path)
        if handle is not None:
            if _remove(path):
                removed.append(temporary)
            _unlock(path, handle)
    return removed


def is_temporary(name: str) -> bool:
    """Return whether a name is that of an unfinished file or folder, or of its lock."""
    return _is_hidden(name.removesuffix(_LOCK), _PART)


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


def _is_hidden(name: str, *suffixes: str) -> bool:
    return name.startswith(".") and name.endswith(suffixes)


@contextlib.contextmanager
def _locked_name(path: Path, suffix: str) -> Iterator[Path]:
    """Yield an unused name beside ``path``, locked in the block; remove what has it afterwards."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{suffix}")
        handle = _try_lock(temporary)
        if handle is not None:
            break
    try:
        yield temporary
    finally:
        _remove(temporary)
        _unlock(temporary, handle)


def _remove(temporary: Path) -> bool:
    """Remove a temporary, but no old version that was moved aside while no new one exists."""
    target = temporary.with_name(temporary.name[1:].rsplit(".", 2)[0])
    if not temporary.exists() or (temporary.suffix == _OLD and not target.exists()):
        return False
    if temporary.is_dir():
        shutil.rmtree(temporary)
    else:
        temporary.unlink()
    return True


def _lock_file(temporary: Path) -> Path:
    return temporary.with_name(temporary.name + _LOCK)


def _try_lock(temporary: Path) -> int | None:
    """Return the open lock of a temporary; None if another process holds it."""
    lock = _lock_file(temporary)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    # Another process may have removed it as a leftover before it was locked.
    if lock_descriptor(handle, blocking=False) and lock.exists():
        return handle
    os.close(handle)
    return None


def _unlock(temporary: Path, handle: int) -> None:
    """Remove a lock: before it is closed, so that no process locks a file that has no name."""
    if not _WINDOWS:
        _lock_file(temporary).unlink(missing_ok=True)
    os.close(handle)
    if _WINDOWS:  # no open file can be removed, neither here nor by a process that has opened it
        with contextlib.suppress(PermissionError):
            _lock_file(temporary).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    if _WINDOWS and path.is_dir():
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDWR if _WINDOWS else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
