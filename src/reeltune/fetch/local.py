"""Editions the user already has: recognised, checked and put where the project looks for them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from reeltune.errors import FetchError
from reeltune.fetch.editions import Edition
from reeltune.files import file_digest

_EDITION_FILES: Final = ("*.csv", "*.dat", "u.*", "README*", "checksums.txt")
_CHUNK_BYTES: Final = 1 << 20


def check_zip(path: Path, edition: Edition, *, allow_other_checksum: bool) -> str:
    """Compare a zip file with the edition's pinned MD5 and say in words what was verified.

    Raises:
        FetchError: It is another file and that was not allowed.
    """
    if edition.md5 is None:
        return f"no checksum is pinned for {edition.name}: taken as it is"
    found = file_digest(path, "md5")
    if found == edition.md5:
        return f"MD5 {found} is the pinned one"
    if allow_other_checksum:
        return f"MD5 {found} is not the pinned {edition.md5}: accepted as you asked"
    raise FetchError(
        f"MD5 is {found}, {edition.name} has {edition.md5}",
        where=str(path),
        hint="Give the edition's own file, or add --allow-other-checksum if you trust this one",
    )


def is_edition_folder(folder: Path, edition: Edition) -> bool:
    """Tell whether ``folder`` holds the files the edition cannot be used without."""
    return all((folder / name).is_file() for name in edition.needed)


def copy_folder(path: Path, folder: Path, edition: Edition, *, allow_other_checksum: bool) -> str:
    """Copy an edition's files out of a folder and say in words what was verified.

    Args:
        path: The folder with the files, or the one above it.
        folder: An existing, empty folder.
        edition: Whose files to look for.
        allow_other_checksum: Accept another number of ratings than the edition has.

    Raises:
        FetchError: The files are not there, or hold another number of ratings.
    """
    roots = [path, path / edition.archive_folder, path / edition.name]
    root = next((root for root in roots if is_edition_folder(root, edition)), None)
    if root is None:
        raise FetchError(
            f"holds no {' and '.join(edition.needed)}: not {edition.name}",
            where=str(path),
            hint="Give the folder with these files, and the edition's own name",
        )
    verified = _check_ratings(root, edition, allow_other_checksum)
    files = {file for pattern in _EDITION_FILES for file in root.glob(pattern) if file.is_file()}
    for file in sorted(files):
        shutil.copyfile(file, folder / file.name)
    return verified


def count_ratings(folder: Path, edition: Edition) -> int:
    """Count the lines of an edition's ratings file, its header left out."""
    lines, last = 0, b"\n"
    with (folder / edition.needed[0]).open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines + (last != b"\n") - edition.header_lines


def _check_ratings(root: Path, edition: Edition, allow_other: bool) -> str:
    found = count_ratings(root, edition)
    if edition.ratings is None:
        return f"{found:,} ratings; the number is not fixed for {edition.name}"
    if found == edition.ratings:
        return f"{found:,} ratings, as {edition.name} has; a folder has no checksum to compare"
    if allow_other:
        return f"{found:,} ratings instead of {edition.ratings:,}: accepted as you asked"
    raise FetchError(
        f"{edition.needed[0]} holds {found:,} ratings, {edition.name} has {edition.ratings:,}",
        where=str(root),
        hint="Give the edition's own name, or add --allow-other-checksum if you trust this one",
    )
