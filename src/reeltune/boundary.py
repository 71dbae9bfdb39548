"""Errors of the operating system and of libraries, as errors of one line that name the file."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reeltune.errors import FileError, ReeltuneError, one_line

# What libraries that do not pass the system's error on say of a full disk; torch and numpy only
# that fewer bytes were written.
_FULL: Final = re.compile(
    r"No space left|[Dd]isk quota|requested and \d+ written|PytorchStreamWriter|unexpected pos \d|"
    r"iostream error|disk is full"
)
_MEMORY: Final = re.compile(r"can't allocate memory|bad_alloc|out of memory", re.IGNORECASE)
# Modules whose ValueError, RuntimeError or OSError without a number is about the content of a file.
_READERS: Final = ("numpy.lib._npyio", "numpy.lib._format", "pyarrow", "torch.serialization")
# Libraries that read and write files, recognized by the exception's class: none is imported here.
_LIBRARIES: Final = {
    *("_csv", "_pickle", "binascii", "json", "lzma", "pickle", "struct", "zipfile", "zlib"),
    *("datasets", "gguf", "huggingface_hub", "polars", "pyarrow", "tokenizers", "yaml"),
    *("safetensors", "safetensors_rust", "sqlalchemy"),
}
_HINTS: Final = {
    errno.EMFILE: "Raise the limit of open files, as with: ulimit -n 4096",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.EROFS: "Choose a folder that can be written to",
}
_PATH_VARIABLES: Final = ("path", "file", "filename", "file_name", "source", "f", "where")
_LONGEST_PATH: Final = 4096
_TEMPORARY: Final = re.compile(r"\.([^/\\]+)\.[0-9a-f]{8}\.(?:part|old)(?![^/\\])")


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Raise what :func:`translate` knows as a :class:`ReeltuneError`."""
    try:
        yield
    except Exception as error:  # any, since every library has its own
        translated = translate(error)
        if translated is None or translated is error:
            raise
        raise translated from error


def translate(error: Exception) -> ReeltuneError | None:
    """Return an error of the system or of a library as ours; None for one that may be a bug."""
    if isinstance(error, ReeltuneError | BrokenPipeError):  # nobody reads standard output any more
        return error if isinstance(error, ReeltuneError) else None
    chain = list(_chain(error))
    text = one_line(error)[:160]
    number = next((e.errno for e in chain if isinstance(e, OSError) and e.errno), 0)
    path = _path(chain)
    if is_disk_full(error):
        return disk_full(path)
    if any(isinstance(e, MemoryError) or _MEMORY.search(str(e)) for e in chain):
        return ReeltuneError(
            f"out of memory ({text})",
            code="out_of_memory",
            hint="Lower train.batch_size or scoring.tokens_per_batch, or free memory",
        )
    damaged = _damaged(error, text, path)
    if isinstance(error, OSError) and (error.errno or damaged is None):
        hint = _HINTS.get(number, "Check the path, its permissions and free space")
        return FileError(error.strerror or text, code="os_error", where=path, hint=hint)
    return damaged


def _damaged(error: Exception, text: str, path: str | None) -> FileError | None:
    libraries = {cls.__module__.partition(".")[0] for cls in type(error).__mro__} & _LIBRARIES
    modules = [str(f.f_globals.get("__name__")) for f, _ in traceback.walk_tb(error.__traceback__)]
    reader = modules and modules[-1].startswith(_READERS)
    plain = isinstance(error, EOFError | UnicodeError) or type(error) is Exception  # of tokenizers
    if not (libraries or reader or plain):
        return None
    return FileError(
        f"{'' if path else 'a file '}cannot be read or written ({type(error).__name__}: {text})",
        code="file_damaged",
        where=path,
        hint="Restore it or write it again; --debug shows the traceback",
    )


def is_disk_full(error: Exception) -> bool:
    """Return whether an error was caused by a full disk or an exhausted quota."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return any(getattr(e, "errno", None) in full or _FULL.search(str(e)) for e in _chain(error))


def disk_full(path: str | None, needed: int | None = None) -> FileError:
    """Return the error for a full disk, with the bytes needed and free where they are known."""
    message, hint = "the disk is full", "Free some space and repeat the command"
    if needed is not None:
        message += f": the run needs {needed / 1e6:,.2f} MB"
        hint += " with --resume"
    if path is not None:
        with contextlib.suppress(OSError):
            folder = Path(path).absolute()
            usage = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists()))
            message += f" (now {usage.free / 1e6:,.2f} of {usage.total / 1e6:,.2f} MB are free)"
    return FileError(message, code="disk_full", where=path, hint=hint)


def unexpected(error: Exception) -> ReeltuneError:
    """Return the error for a bug, its traceback kept in a file for the report."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    hint = "Please report it with the traceback, which --debug shows"
    with contextlib.suppress(OSError):
        handle, path = tempfile.mkstemp(prefix="reeltune-traceback-", suffix=".txt")
        os.close(handle)
        lines = traceback.format_exception(error)
        Path(path).write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
        hint = f"Please report it with its traceback, {path}"
    return ReeltuneError(f"a bug in reeltune ({text})", code="unexpected_error", hint=hint)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _path(chain: list[BaseException]) -> str | None:
    """Return the file of an error: that of the system, or what the failing calls were given."""
    for error in chain:
        if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
            return _TEMPORARY.sub(r"\1", os.fsdecode(error.filename))
    variables: list[tuple[str, object]] = []
    for error in chain:
        for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
            variables += _attributes(frame.f_locals.get("self")) + list(frame.f_locals.items())
    path = next((text for text in itertools.starmap(_text_of_path, variables) if text), None)
    return path and _TEMPORARY.sub(r"\1", path)


def _attributes(instance: object) -> list[tuple[str, object]]:
    with contextlib.suppress(Exception):  # what a class computes may fail
        return list(vars(instance).items())
    return []


def _text_of_path(name: str, value: object) -> str | None:
    """Return a variable as text if it is a path."""
    with contextlib.suppress(Exception):  # frames hold anything, such as a Path half made
        if isinstance(value, Path):
            return os.fsdecode(value)
        if (
            isinstance(value, str | bytes)
            and name in _PATH_VARIABLES
            and len(value) < _LONGEST_PATH
        ):
            text = os.fsdecode(value)
            return text if os.sep in text and "\n" not in text else None
    return None
