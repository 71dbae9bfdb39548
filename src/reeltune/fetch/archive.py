"""Unpack an edition's zip file. Every member is checked before anything is written."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from reeltune.errors import FetchError
from reeltune.fetch.editions import Edition
from reeltune.zips import ZipFault, check_members, copy_member, open_zip


def unpack(archive: Path, folder: Path, edition: Edition) -> list[str]:
    """Unpack the edition's files, at the top of the zip file or in any folder, into ``folder``.

    Returns:
        The other files' names, which are not unpacked.

    Raises:
        FetchError: The zip file is damaged, unsafe, or lacks the edition's files.
    """
    try:
        with open_zip(archive, FetchError) as opened:
            members = opened.infolist()
            _check_names(members)
            check_members(archive, members)
            files = [member for member in members if not member.is_dir()]
            root = _edition_root(archive, [member.filename for member in files], edition)
            for member in files:
                if member.filename.startswith(root):
                    target = folder / member.filename.removeprefix(root)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    copy_member(opened, member, target)
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(
            f"cannot be unpacked ({error})", code="cannot_unpack", where=str(archive)
        ) from error
    return [member.filename for member in files if not member.filename.startswith(root)]


def _check_names(members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        # orig_filename: zipfile itself cuts names at a NUL and translates separators.
        name = member.orig_filename
        parts = name.removesuffix("/").split("/")
        safe = {"", ".", ".."}.isdisjoint(parts) and {":", "\\"}.isdisjoint(name)
        if not safe or not name.isprintable():
            raise ZipFault("unsafe", f"the path {name!r} is unsafe")


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
