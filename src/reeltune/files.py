"""Files and folders that appear complete or not at all, and checksums.

The process that writes a temporary file or folder holds a lock on a file beside it that names the
temporary. The lock ends with the process, so an unlocked temporary is a leftover of a killed
process; what only has a name of that form is left alone. Temporaries themselves are never open when
they are renamed, and only files are opened, as Windows requires.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from filelock import lock_descriptor

from reeltune.errors import FileError, ReeltuneError, RunError
from reeltune.locks import exclusive, locked, short_name

_PART: Final = ".part"
_OLD: Final = ".old"
_LOCK: Final = ".lock"
_MARK: Final = b"reeltune temporary"
"""Begins the content of a lock file; the names of temporary and target follow."""

_NAME: Final = re.compile(r"\.(.+)\.[0-9a-f]{8}\.(?:part|old)")
_DEEPEST: Final = 250  # folders; pathlib makes them one within the other
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_CANNOT_EXCHANGE: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)

_WINDOWS: Final = os.name == "nt"


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file that becomes ``path`` if the block succeeds.

    It is synced before it is renamed: even after a power cut ``path`` is either old or complete.
    A symbolic link is followed. Leftovers of killed processes that wrote the same path are removed.

    Raises:
        RunError: ``path`` is a folder or a device.
    """
    path = _real_path(path)
    if path.exists() and not path.is_file():
        raise RunError(
            "is not a regular file, so it is not replaced",
            code="output_not_a_file",
            where=str(path),
            hint="Name a file",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    with _locked_name(path, _PART) as temporary:
        temporary.touch(0o600, exist_ok=False)
        yield temporary
        temporary.chmod(0o644)
        replace_durably(temporary, path)


class _AbandonedError(Exception):
    pass


def check_writable(path: Path) -> None:
    """Raise the error with which writing a file would end, before the work whose result it is.

    Raises:
        FileError: It belongs to someone else, or the disk is read-only.
        RunError: As :func:`atomic_file`.
    """
    try:
        with contextlib.suppress(_AbandonedError), atomic_file(path):
            raise _AbandonedError
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise FileError(
            f"cannot be written ({error.strerror})",
            code="not_writable",
            where=str(path),
            hint="Name another place with --output",
        ) from error


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes ``path`` if the block succeeds.

    An existing folder is exchanged with the new one, so ``path`` is always one of them. A symbolic
    link is followed.

    Raises:
        RunError: As :func:`replaceable_folder`, or another process is using it.
    """
    path = replaceable_folder(path)
    with exclusive(path), scratch_folder(path) as temporary:
        yield temporary
        temporary.chmod(0o755)
        for file in (*temporary.rglob("*"), temporary):
            _sync(file)
        if not path.exists():
            temporary.replace(path)
        elif not _exchange(temporary, path):
            with _locked_name(path, _OLD) as aside:
                aside.mkdir()
                path.replace(aside / path.name)
                temporary.replace(path)
        _sync(path.parent)


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``, removed afterwards or, if killed, by the next call."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    with _locked_name(path, _PART) as temporary:
        temporary.mkdir(0o700)
        yield temporary


def replaceable_folder(path: Path) -> Path:
    """Return the folder that a path or symbolic link names, which may not exist yet.

    Raises:
        RunError: It is a file, or a folder that cannot or should not be replaced as a whole.
    """
    real, here = _real_path(path), Path.cwd()
    if os.path.lexists(real) and not real.is_dir():
        reason = "is not a folder"
    elif real.is_mount():
        reason = "is a mount point"
    elif real == here or real in here.parents:
        reason = "is the current folder or holds it"
    elif real == Path("~").expanduser():
        reason = "is the home folder"
    elif real.exists() and not os.access(real, os.W_OK | os.X_OK):
        reason = "cannot be written to"
    else:
        return real
    raise RunError(
        f"{reason}, so it is not replaced",
        code="folder_not_replaceable",
        where=str(path),
        hint="Name a folder inside it or elsewhere",
    )


def refuse_foreign(
    path: Path, patterns: Sequence[str], error: type[ReeltuneError], *, code: str
) -> None:
    """Raise an error if replacing a folder would lose content with names of no pattern."""
    real = replaceable_folder(path)
    foreign = sorted(
        child.name
        for child in (real.iterdir() if real.exists() else ())
        if not any(fnmatchcase(child.name, pattern) for pattern in patterns)
        and child.lstat().st_size
    )
    if foreign:
        raise error(
            f"holds other files ({', '.join(map(ascii, foreign[:3]))}), so it is not replaced",
            code=code,
            where=str(path),
            hint="Move them away, or choose another folder",
        )


def replace_durably(temporary: Path, path: Path) -> None:
    """Rename a file; sync its content before and the rename after."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def remove_leftovers(folder: Path, name: str = "") -> list[str]:
    """Remove leftovers of killed processes from a folder; return their names.

    Temporaries locked by other processes are kept. An old version that was moved aside gets its
    name back if no new one has it. With ``name``, only leftovers of that file or folder.
    """
    removed: list[str] = []
    for lock in sorted(path for path in folder.iterdir() if path.suffix == _LOCK):
        temporary = lock.with_name(lock.name.removesuffix(_LOCK))
        # What cannot be opened or removed, such as another user's leftover, is in nobody's way.
        with contextlib.suppress(OSError):
            if not is_temporary(lock.name) or not stat.S_ISREG(lock.lstat().st_mode):
                continue
            handle, done = os.open(lock, os.O_RDWR), False
            try:
                target = _locked_target(handle, temporary)
                if target is not None and name in ("", target.name):
                    if os.path.lexists(temporary):
                        _remove(temporary, target)
                        removed.append(temporary.name)
                    done = True
            finally:
                _unlock(lock, handle, remove=done)
    return removed


def is_temporary(name: str) -> bool:
    """Return whether a name looks like that of an unfinished file or folder, or of its lock."""
    return name.startswith(".") and name.removesuffix(_LOCK).endswith((_PART, _OLD))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, completely or not at all."""
    with atomic_file(path) as temporary:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_object(path: Path, hook: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
    """Return the JSON object in a file; ``hook`` may replace each object in it.

    Raises:
        ValueError: It holds something else.
    """
    try:
        value = json.loads(path.read_bytes(), object_hook=hook)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file's bytes."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return digest.hexdigest()


def cached_digest(path: Path) -> str:
    """Return a file's SHA-256, computed once per process and version of the file."""
    now = path.stat()
    # The inode and its change: a copy may have the size and the time of what it replaces.
    return _digest_of(path, now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)


@lru_cache(maxsize=64)
def _digest_of(path: Path, *version: int) -> str:
    del version
    return file_digest(path)


def _real_path(path: Path) -> Path:
    real = Path(os.path.realpath(path))
    if len(real.parts) > _DEEPEST:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
    return real


@contextlib.contextmanager
def _locked_name(path: Path, suffix: str) -> Iterator[Path]:
    """Yield an unused name beside ``path``, locked in the block; remove what has it afterwards."""
    while True:
        temporary = path.with_name(f".{short_name(path)}.{secrets.token_hex(4)}{suffix}")
        lock = temporary.with_name(temporary.name + _LOCK)
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            error.filename = str(path)  # the name a user knows
            raise
        if locked(handle, path.parent) and lock.exists():
            break
        os.close(handle)
        lock.unlink(missing_ok=True)
    try:
        os.write(handle, b"\0".join((_MARK, *map(os.fsencode, (temporary.name, path.name)))))
        try:
            yield temporary
        finally:
            _remove(temporary, path)
    finally:
        _unlock(lock, handle, remove=True)


def _locked_target(handle: int, temporary: Path) -> Path | None:
    """Lock a lock file and return what its temporary was to become; None if in use or foreign."""
    if not lock_descriptor(handle, blocking=False):
        return None
    content = os.read(handle, 1024)
    if not content and (name := _NAME.fullmatch(temporary.name)) and not os.path.lexists(temporary):
        return temporary.with_name(name[1])  # killed before it wrote the mark
    mark = content.split(b"\0")
    if len(mark) != 3 or mark[:2] != [_MARK, os.fsencode(temporary.name)]:
        return None
    return temporary.with_name(Path(os.fsdecode(mark[2])).name)


def _unlock(lock: Path, handle: int, *, remove: bool) -> None:
    """Remove a lock: before it is closed, so that no process locks a file that has no name."""
    if remove and not _WINDOWS:
        lock.unlink(missing_ok=True)
    os.close(handle)
    if remove and _WINDOWS:  # no open file can be removed, nor one that another process has opened
        with contextlib.suppress(PermissionError):
            lock.unlink(missing_ok=True)


def _remove(temporary: Path, target: Path) -> None:
    """Remove a temporary; give an old version its name back while no new one has it."""
    old = temporary / target.name
    if temporary.suffix == _OLD and not os.path.lexists(target) and os.path.lexists(old):
        old.replace(target)
    if temporary.is_dir() and not temporary.is_symlink():
        shutil.rmtree(temporary)
    else:
        temporary.unlink(missing_ok=True)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; return False where the system cannot."""
    if sys.platform != "linux":
        return False
    names = os.fsencode(first), os.fsencode(second)
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # an old libc
        return False
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(second))


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    if _WINDOWS and path.is_dir():
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDWR if _WINDOWS else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
