"""Unpack an edition's zip file. Every member is checked before anything is written."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Final

from reeltune.errors import FetchError
from reeltune.fetch.editions import Edition

# The largest edition unpacks to 1.3 GB, about five times its zip file; far more is a zip bomb.
_MAX_BYTES: Final = 8 << 30
_MAX_EXPANSION: Final = 100
_ENCRYPTED: Final = 1


def unpack(archive: Path, folder: Path, edition: Edition) -> list[str]:
    """Unpack the edition's files, at the top of the zip file or in any folder, into ``folder``.

    Returns:
        The other files' names, which are not unpacked.

    Raises:
        FetchError: The zip file is damaged, unsafe, or lacks the edition's files.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            _check_members(archive, members)
            files = [member for member in members if not member.is_dir()]
            root = _edition_root(archive, [member.filename for member in files], edition)
            for member in files:
                if member.filename.startswith(root):
                    target = folder / member.filename.removeprefix(root)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(member) as source, target.open("xb") as sink:
                        shutil.copyfileobj(source, sink)
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(
            f"cannot be unpacked ({error})", code="cannot_unpack", where=str(archive)
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise FetchError(
            f"is not a usable zip file ({error})",
            code="not_a_zip_file",
            where=str(archive),
            hint="Download it again; a saved web page or half a file looks like this",
        ) from error
    return [member.filename for member in files if not member.filename.startswith(root)]


def _check_members(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    if not members:
        raise _refused(archive, "is an empty zip file", code="empty_zip_file")
    for member in members:
        # orig_filename: zipfile itself cuts names at a NUL and translates separators.
        name = member.orig_filename
        parts = name.removesuffix("/").split("/")
        if not {"", ".", ".."}.isdisjoint(parts) or not {":", "\\", "\0"}.isdisjoint(name):
            raise _refused(archive, f"the path {name!r} is unsafe", code="unsafe_zip_member")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, f"{name!r} is no regular file", code="special_zip_member")
        if member.flag_bits & _ENCRYPTED:
            raise _refused(archive, f"{name!r} is encrypted", code="encrypted_zip_member")
    name, count = Counter(member.filename for member in members).most_common(1)[0]
    if count > 1:
        raise _refused(archive, f"holds {name!r} {count} times", code="duplicate_zip_member")
    unpacked = sum(member.file_size for member in members)
    allowed = min(_MAX_BYTES, _MAX_EXPANSION * max(archive.stat().st_size, 1 << 20))
    if unpacked > allowed:
        message = f"would unpack to {unpacked:,} bytes, at most {allowed:,} are plausible"
        raise _refused(archive, message, code="zip_too_large")


def _refused(archive: Path, message: str, *, code: str) -> FetchError:
    hint = "GroupLens does not pack its editions like this: use the official file"
    return FetchError(f"{message}; nothing was unpacked", code=code, where=str(archive), hint=hint)


def _edition_root(archive: Path, names: list[str], edition: Edition) -> str:
    """Return the path prefix, empty or ending in a slash, of the edition's files."""
    present = set(names)
    ratings = edition.needed[0]
    roots = [name.removesuffix(ratings) for name in names if PurePosixPath(name).name == ratings]
    official = f"{edition.archive_folder}/"
    for root in sorted(roots, key=lambda root: (root != official, len(root))):
        if all(root + needed in present for needed in edition.needed):
            return root
    raise FetchError(
        f"holds no folder with {' and '.join(edition.needed)}: not {edition.name}",
        code="edition_files_missing",
        where=str(archive),
        hint="Name the edition that the file holds, or give the file of this edition",
    )
