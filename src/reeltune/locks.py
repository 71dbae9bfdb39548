"""Locks on files and folders against other processes, which end with the process that holds them.

A lock file is removed when its lock is released; one that a killed process left is taken over.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import logging
import os
import platform
import re
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filelock import lock_descriptor

from reeltune.errors import RunError

LOCK_FILE: Final = ".lock"
"""The lock of a folder that cannot be renamed, within it; other locks are beside what they lock."""

_READER: Final = ".reader"
_HOLDER: Final = re.compile(rb" (\d+) ([\w.-]+)")
"""The content of a lock file: process and machine."""
_MAX_BYTES: Final = 300
_LONGEST_NAME: Final = 200  # bytes; with what a lock or temporary adds, 255 are allowed
_TRIES: Final = 5
_POLL_SECONDS: Final = 0.05

_WINDOWS: Final = os.name == "nt"
_FLAGS: Final = 0 if _WINDOWS else os.O_NOFOLLOW | os.O_NONBLOCK
_READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)

_UNLOCKED: Final = -1
"""In place of an open lock, where none can be created."""

_open: set[int] = set()
"""The open locks of this process."""
_held: set[tuple[int, Path]] = set()
"""The exclusive locks, each with its thread."""

_LOGGER: Final = logging.getLogger(__name__)


@contextlib.contextmanager
def exclusive(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock a file or folder against every other process that locks it; may be nested in a thread.

    Where no lock can be created, the block runs without one: on a read-only file system, and, with
    a warning, on one without locks.

    Raises:
        RunError: Another process has locked it, and ``wait`` is not set.
    """
    lock = _lock_of(path)
    key = threading.get_ident(), lock
    if key in _held:
        yield
        return
    with contextlib.suppress(OSError):
        lock.parent.mkdir(parents=True, exist_ok=True)
    handle = _acquire(lock, path, wait=wait)
    _held.add(key)
    try:
        pattern = f"{glob.escape(lock.stem)}.{'[0-9a-f]' * 8}{_READER}{LOCK_FILE}"
        for reader in lock.parent.glob(pattern):
            _release(reader, _acquire(reader, path, wait=wait))
        yield
    finally:
        _held.discard(key)
        _release(lock, handle)


@contextlib.contextmanager
def shared(path: Path) -> Iterator[None]:
    """Lock a file or folder against :func:`exclusive`, but not against other calls of this.

    Raises:
        RunError: Another process has locked it exclusively.
    """
    lock = _lock_of(path)
    reader = lock.with_name(f"{lock.stem}.{secrets.token_hex(4)}{_READER}{LOCK_FILE}")
    handle = _acquire(reader, path)
    try:
        if (threading.get_ident(), lock) not in _held:
            _release(lock, _acquire(lock, path))
        yield
    finally:
        _release(reader, handle)


def locked(handle: int, path: Path) -> bool:
    """Lock an open file, and return False if another process holds it.

    Where the file system has no locks, that is a warning, and the file counts as locked.
    """
    try:
        return lock_descriptor(handle, blocking=False)
    except OSError as error:
        _warn_without_locks(f"{path}: {error.strerror}")
        return True


def _lock_of(path: Path) -> Path:
    path = Path(os.path.realpath(path))
    parent = next((folder for folder in path.parents if folder.exists()), path)
    if os.path.ismount(path) or not os.access(parent, os.W_OK):
        return path / LOCK_FILE
    return path.with_name(f".{short_name(path)}{LOCK_FILE}")


def short_name(path: Path) -> str:
    """Return the name of a path, or a digest of it if nothing could be added to it."""
    name = os.fsencode(path.name)
    return path.name if len(name) <= _LONGEST_NAME else hashlib.sha256(name).hexdigest()[:16]


def _acquire(lock: Path, path: Path, *, wait: bool = False) -> int:
    """Return the open lock of ``path``. A few tries: others look for a moment, or just ended."""
    tries = 0
    while (handle := _try_lock(lock)) is None:
        tries += 1
        if tries == _TRIES and wait:
            _LOGGER.info("waiting for another process%s to release %s", _holder(lock), path)
        elif tries == _TRIES:
            raise RunError(
                f"in use by another process{_holder(lock)}",
                code="folder_in_use",
                where=str(path),
                hint="Wait until it ends, or choose another folder",
            )
        time.sleep(_POLL_SECONDS)
    return handle


def _try_lock(lock: Path) -> int | None:
    """Return an open lock; None if another process holds it or has just removed it."""
    try:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644)
        except PermissionError:  # it may be another user's
            handle = os.open(lock, os.O_RDONLY | _FLAGS)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            _warn_without_locks(str(error))
        return _UNLOCKED
    if locked(handle, lock.parent) and _has_name(handle, lock):
        _open.add(handle)
        with contextlib.suppress(OSError):
            content = os.read(handle, _MAX_BYTES)
            if not content or _HOLDER.fullmatch(content):
                os.ftruncate(handle, 0)
                os.lseek(handle, 0, os.SEEK_SET)
                host = re.sub(r"[^A-Za-z0-9_.-]", "-", platform.node()) or "unknown"
                os.write(handle, f" {os.getpid()} {host}".encode())
        return handle
    os.close(handle)
    return None


def _has_name(handle: int, lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), lock.stat())
    except FileNotFoundError:
        return False


def _holder(lock: Path) -> str:
    """Return the process that holds a lock, if it is known, in brackets."""
    with contextlib.suppress(OSError), lock.open("rb", buffering=0) as stream:
        stream.seek(1)  # Windows locks the first byte
        if found := _HOLDER.fullmatch(b" " + stream.read(_MAX_BYTES)):
            return f" (process {found[1].decode()} on {found[2].decode()})"
    return ""


@functools.cache
def _warn_without_locks(reason: str) -> None:
    _LOGGER.warning("no locks (%s): nothing keeps two processes from writing there at once", reason)


def _release(lock: Path, handle: int) -> None:
    """Remove a lock: before it is closed, so that no process locks a file that has no name."""
    if handle not in _open:
        return
    _open.discard(handle)
    ours = f"process {os.getpid()} " in _holder(lock)
    with contextlib.ExitStack() as closing, contextlib.suppress(OSError):
        closing.callback(os.close, handle)
        if _WINDOWS:  # no open file can be removed, nor one that another process has opened
            closing.close()
        if ours:
            lock.unlink(missing_ok=True)


def _close_inherited() -> None:
    """Close the locks in a forked process, which would hold them after its parent was killed."""
    for handle in _open:
        os.close(handle)
    _open.clear()
    _held.clear()


if not _WINDOWS:
    os.register_at_fork(after_in_child=_close_inherited)
