"""Unpacks an edition's zip file: everything is checked before the first byte is written."""

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

# The largest edition unpacks to 1.3 GB, text files shrink about fivefold: far above both is no
# edition but a file made to fill the disk.
_MOST_BYTES: Final = 8 << 30
_MOST_EXPANSION: Final = 100
_ENCRYPTED: Final = 1
_MEND: Final = "GroupLens does not pack its editions like this: use the official file"


def unpack(archive: Path, folder: Path, edition: Edition) -> list[str]:
    """Unpack an edition so that its files lie directly in ``folder``.

    Args:
        archive: The zip file. Its files may lie in the edition's own folder, in any other one, or
            at the top.
        folder: An existing, empty folder.
        edition: Whose files to look for.

    Returns:
        Names of files that lay beside the edition's folder and were left out.

    Raises:
        FetchError: It is no zip file, is damaged, lacks the edition's files, or holds a member that
            would not stay inside ``folder`` or is no plain file.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            _check_members(archive, members)
            files = [member for member in members if not member.is_dir()]
            root = _root(archive, [member.filename for member in files], edition)
            left_out = []
            for member in files:
                if member.filename.startswith(root):
                    _write(opened, member, folder / member.filename.removeprefix(root))
                else:
                    left_out.append(member.filename)
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(f"cannot be unpacked ({error})", where=str(archive)) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise FetchError(
            f"is not a usable zip file ({error})",
            where=str(archive),
            hint="Download it again; a saved web page or half a file looks like this",
        ) from error
    return left_out


def _check_members(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    if not members:
        raise FetchError("is an empty zip file", where=str(archive), hint=_MEND)
    for member in members:
        _check_member(archive, member)
    _check_size(archive, members)


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    """Refuse whatever could end up outside the folder, or be no plain file."""
    # orig_filename: zipfile itself cuts names at a NUL and translates separators.
    name = member.orig_filename
    kind = stat.S_IFMT(member.external_attr >> 16)
    if name.startswith("/") or ":" in name:
        why = "has an absolute path or a drive letter"
    elif not {"", ".", ".."}.isdisjoint(name.removesuffix("/").split("/")):
        why = "has an empty part, '.' or '..' in its path"
    elif "\\" in name or "\0" in name:
        why = "has a backslash or NUL in its name"
    elif kind == stat.S_IFLNK:
        why = "is a symbolic link"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        why = "is no plain file"
    elif member.flag_bits & _ENCRYPTED:
        why = "is encrypted"
    else:
        return
    raise FetchError(
        f"member {name!r} {why}; nothing was unpacked",
        where=str(archive),
        hint=_MEND,
    )


def _check_size(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    name, times = Counter(member.filename for member in members).most_common(1)[0]
    if times > 1:
        raise FetchError(f"holds {name!r} {times} times", where=str(archive), hint=_MEND)
    unpacked = sum(member.file_size for member in members)
    allowed = min(_MOST_BYTES, _MOST_EXPANSION * max(archive.stat().st_size, 1 << 20))
    if unpacked > allowed:
        raise FetchError(
            f"would unpack to {unpacked:,} bytes, at most {allowed:,} are plausible; "
            "nothing was unpacked",
            where=str(archive),
            hint=_MEND,
        )


def _root(archive: Path, names: list[str], edition: Edition) -> str:
    """Return the prefix, empty or ending in a slash, under which the edition's files lie."""
    present = set(names)
    ratings = edition.needed[0]
    holders = [name.removesuffix(ratings) for name in names if PurePosixPath(name).name == ratings]
    own = f"{edition.archive_folder}/"
    for root in sorted(holders, key=lambda holder: (holder != own, len(holder))):
        if all(root + needed in present for needed in edition.needed):
            return root
    raise FetchError(
        f"holds no folder with {' and '.join(edition.needed)}: not {edition.name}",
        where=str(archive),
        hint="Give the edition's own name, or its own zip file",
    )


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, target.open("xb") as sink:
        shutil.copyfileobj(source, sink)
