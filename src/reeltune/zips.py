"""Zip files that may be damaged or hostile: bounded in size, each fault one error."""

from __future__ import annotations

import contextlib
import errno
import lzma
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from reeltune.errors import ReeltuneError

# The largest edition unpacks to 1.3 GB, about five times its zip file; far more is a zip bomb.
_MAX_BYTES: Final = 8 << 30
_MAX_EXPANSION: Final = 100
_ENCRYPTED: Final = 1  # bit of a member's flags
_CHUNK_BYTES: Final = 1 << 20
_SMALL_CHUNK: Final = 64
"""Of what zipfile decompresses as a whole: 4 KB of bzip2 can unpack to 4 GB."""

_FAULTS: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, OverflowError),
    RuntimeError,  # an unknown method of compression or encryption
    ValueError,  # an offset before the file, or a name that is not UTF-8
    MemoryError,
)
_OTHER_FORMATS: Final = {
    b"PK": "the beginning of one",
    b"\x1f\x8b": "a gzip file",
    b"7z\xbc\xaf": "a 7z file",
    b"Rar!": "a RAR file",
    b"<": "a web page",
    b"version https://git-lfs": "a Git LFS pointer",
}

_HINTS: Final = {
    "not_a_zip": "Name the zip or folder of an edition (prepare --ratings-dir, fetch --from)",
    "damaged": "Download it again, or unpack it and name the folder",
    "duplicate": "Use the original file, or unpack it and name the folder",
    "encrypted": "Unpack it with its password and name the folder",
    "special": "Use the original file",
    "too_large": "This is what a zip bomb looks like: use the original file",
}


class _ZipError(Exception):
    def __init__(self, fault: str, message: str) -> None:
        self.fault = fault
        super().__init__(message)


@contextlib.contextmanager
def open_zip(
    path: Path, error: type[ReeltuneError], codes: Mapping[str, str]
) -> Iterator[zipfile.ZipFile]:
    """Open a zip file; every fault that is found in the block becomes an error.

    Args:
        path: The file.
        error: Class of the errors.
        codes: Their codes: not_a_zip, damaged, encrypted, too_large, special (a member is a link or
            a device), duplicate.
    """
    try:
        if not path.is_file() or not zipfile.is_zipfile(path):
            raise _ZipError("not_a_zip", f"is no zip file but {_describe_format(path)}")
        with _reading():
            archive = zipfile.ZipFile(path)
        with archive:
            yield archive
    except _ZipError as found:
        hint = _HINTS[found.fault]
        raise error(str(found), code=codes[found.fault], where=str(path), hint=hint) from found


def printable(name: str) -> str:
    """Return a name with every character replaced that cannot be printed or written as UTF-8."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def member_path(member: zipfile.ZipInfo) -> PurePosixPath:
    r"""Return the path of a member below the top of the zip, printable, also of ``..\a//b``."""
    # orig_filename: zipfile itself cuts names at a NUL.
    parts = printable(member.orig_filename).replace("\\", "/").split("/")
    return PurePosixPath(*(part for part in parts if part not in ("", ".", "..")))


def check_members(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Check what is about to be unpacked from the zip at ``path``, before anything is written."""
    for member in members:
        name = ascii(member.orig_filename)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _ZipError("special", f"{name} is no regular file")
        if member.flag_bits & _ENCRYPTED:
            raise _ZipError("encrypted", f"{name} is encrypted")
    # Names that differ only in case are one file on macOS and Windows.
    names = Counter(str(member_path(member)).casefold() for member in members)
    name, count = names.most_common(1)[0]
    if count > 1:
        raise _ZipError("duplicate", f"holds {name!r} {count} times")
    unpacked = sum(member.file_size for member in members)
    allowed = min(_MAX_BYTES, _MAX_EXPANSION * max(path.stat().st_size, 1 << 20))
    if unpacked > allowed:
        message = f"would unpack to {unpacked:,} bytes, at most {allowed:,} are plausible"
        raise _ZipError("too_large", message)


def copy_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write a member to a new file: never more bytes than the directory of the zip names."""
    simple = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    with target.open("xb") as sink:
        with _reading():
            source = archive.open(member)
        assert isinstance(source, zipfile.ZipExtFile)
        source.MIN_READ_SIZE = _SMALL_CHUNK
        with source:
            while True:
                with _reading():
                    chunk = source.read(_CHUNK_BYTES if simple else _SMALL_CHUNK)
                if not chunk:
                    break
                sink.write(chunk)
        if sink.tell() != member.file_size:
            raise _ZipError("damaged", f"{member.filename!r} ends too early")


def _describe_format(path: Path) -> str:
    if not path.is_file():
        return "a special file"
    with path.open("rb") as stream:
        start = stream.read(64).lstrip()
    known = (name for magic, name in _OTHER_FORMATS.items() if start.startswith(magic))
    return next(known, "another format" if start else "an empty file")


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turn the exceptions of zipfile and of decompression into faults."""
    try:
        yield
    except _FAULTS as error:
        raise _ZipError("damaged", f"cannot be unpacked ({error})") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # bzip2's errors, and offsets
            raise
        raise _ZipError("damaged", f"cannot be unpacked ({error})") from error
