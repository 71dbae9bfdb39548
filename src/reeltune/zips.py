"""Zip files that may be damaged or hostile: bounded in size, each fault one error."""

from __future__ import annotations

import contextlib
import errno
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from reeltune.errors import DataError, FetchError

# The largest edition unpacks to 1.3 GB, about five times its zip file; far more is a zip bomb.
_MAX_BYTES: Final = 8 << 30
_MAX_EXPANSION: Final = 100
_MAX_MEMBERS: Final = 10_000
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
_DAMAGED: Final = "Download it again, or unpack it and name the folder"
_OTHER: Final = "Use the original file, or unpack it and name the folder"
_CODES: Final = {
    "not_a_zip": ("not_a_zip", "not_a_zip_file", "Name a folder or zip: --ratings-dir, --from"),
    "damaged": ("bad_zip", "not_a_zip_file", _DAMAGED),
    "duplicate": ("bad_zip", "duplicate_zip_member", _OTHER),
    "encrypted": ("encrypted_zip", "encrypted_zip_member", _OTHER),
    "special": ("bad_zip", "special_zip_member", _OTHER),
    "too_large": ("zip_expands_too_far", "zip_too_large", _OTHER),
    "unsafe": ("bad_zip", "unsafe_zip_member", _OTHER),
    "empty": ("bad_zip", "empty_zip_file", _DAMAGED),
}
"""For each fault: the codes of a DataError and of a FetchError, and the hint."""


class ZipFault(Exception):  # noqa: N818
    """A fault of a zip file, named by a key of the table of codes."""

    def __init__(self, fault: str, message: str) -> None:
        self.fault = fault
        super().__init__(message)


@contextlib.contextmanager
def open_zip(
    path: Path, error: type[DataError | FetchError], code: str | None = None
) -> Iterator[zipfile.ZipFile]:
    """Open a zip file; every fault that is found in the block becomes an error of the class.

    With ``code``, all of them have this code.
    """
    try:
        if not path.is_file():
            raise ZipFault("not_a_zip", "is neither a folder nor a zip file")
        if not zipfile.is_zipfile(path):
            with path.open("rb") as stream:
                start = stream.read(20)
            raise ZipFault("not_a_zip", f"is no zip file, it begins with {ascii(start)[1:]}")
        with _reading():
            archive = zipfile.ZipFile(path)
        with archive:
            yield archive
    except ZipFault as found:
        data_code, fetch_code, hint = _CODES[found.fault]
        code = code or (data_code if error is DataError else fetch_code)
        raise error(str(found), code=code, where=str(path), hint=hint) from found


def replace_unprintable(name: str) -> str:
    """Return a name with every character replaced that cannot be printed or written as UTF-8."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def member_path(member: zipfile.ZipInfo) -> PurePosixPath:
    r"""Return the path of a member below the top of the zip, printable, also of ``..\a//b``."""
    # orig_filename: zipfile itself cuts names at a NUL.
    parts = replace_unprintable(member.orig_filename).replace("\\", "/").split("/")
    return PurePosixPath(*(part for part in parts if part not in ("", ".", "..")))


def check_members(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Check what is about to be unpacked from the zip at ``path``, before anything is written."""
    if not members:
        raise ZipFault("empty", "is an empty zip file")
    for member in members:
        name = ascii(member.orig_filename)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ZipFault("special", f"{name} is no regular file")
        if member.flag_bits & _ENCRYPTED:
            raise ZipFault("encrypted", f"{name} is encrypted")
    # Names that differ only in case are one file on macOS and Windows.
    names = Counter(str(member_path(member)).casefold() for member in members)
    name, count = names.most_common(1)[0]
    if count > 1:
        raise ZipFault("duplicate", f"holds {name!r} {count} times")
    if len(members) > _MAX_MEMBERS:
        raise ZipFault("too_large", f"holds {len(members):,} files")
    unpacked = sum(member.file_size for member in members)
    allowed = min(_MAX_BYTES, _MAX_EXPANSION * max(path.stat().st_size, 1 << 20))
    if unpacked > allowed:
        message = f"would unpack to {unpacked:,} bytes, at most {allowed:,} are plausible"
        raise ZipFault("too_large", message)


def copy_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write a member to a new file: never more bytes than the directory of the zip names."""
    simple = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    with target.open("xb") as sink, _reading(), archive.open(member) as source:
        assert isinstance(source, zipfile.ZipExtFile)
        source.MIN_READ_SIZE = _SMALL_CHUNK
        shutil.copyfileobj(source, sink, _CHUNK_BYTES if simple else _SMALL_CHUNK)
        if sink.tell() != member.file_size:
            raise ZipFault("damaged", f"{member.filename!a} ends too early")


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turn the exceptions of zipfile and of decompression into faults."""
    try:
        yield
    except _FAULTS as error:
        raise ZipFault("damaged", f"cannot be unpacked ({error})") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # bzip2's errors, and offsets
            raise
        raise ZipFault("damaged", f"cannot be unpacked ({error})") from error
