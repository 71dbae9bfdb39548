"""Locating ratings: a folder or a zip named by the user, or an edition that is downloaded."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import polars as pl

from reeltune.data.badrows import BadRow, DroppedRows
from reeltune.data.layouts import Layout, edition_name, missing_files_error, recognise
from reeltune.data.tags import Tag
from reeltune.domain import Item, RatingScale
from reeltune.errors import ConfigError, DataError
from reeltune.zips import check_members, copy_member, member_path, open_zip, replace_unprintable

TAGS_CSV: Final = "tags.csv"
EDITIONS_FOLDER: Final = Path("data/raw")
DEFAULT_EDITION: Final = "ml-latest-small"


@dataclass(frozen=True)
class Source:
    """The files of one edition, ready to be read from ``folder``."""

    edition: str
    layout: Layout
    folder: Path

    @property
    def ratings(self) -> Path:
        """The ratings file."""
        return self.folder / self.layout.ratings_file

    @property
    def tags(self) -> Path:
        """The file of tags, which not every edition has."""
        return self.folder / TAGS_CSV

    @property
    def items(self) -> Path:
        """The items file."""
        return self.folder / self.layout.items_file


@dataclass
class SourceTables:
    """What is read from an edition, or from tables of one's own.

    Attributes:
        items: All items, in the order of ``item_idx``.
        ratings: All ratings, as :func:`reeltune.data.ratings.read_ratings` returns them.
        describe: Describes bad ratings, given their ``line``, ``fault`` and ``first_line``.
        files: Each file that was read, with the number of its rows.
        threshold: The lowest rating that counts as liked.
        user_texts: The ids of users by key, if they are text.
        tags: The tags of items, if they are to be shown.
        about: Further sections of ``meta.json``.
    """

    items: list[Item]
    dropped_items: DroppedRows
    ratings: pl.DataFrame
    describe: Callable[[pl.DataFrame], list[BadRow]]
    scale: RatingScale
    files: list[tuple[Path, int]]
    threshold: float
    user_texts: list[str] | None = None
    tags: list[Tag] | None = None
    dropped_tags: DroppedRows = field(default_factory=DroppedRows)
    about: dict[str, Any] = field(default_factory=dict)

    def take_ratings(self) -> pl.DataFrame:
        """Return the ratings, and forget them: 32 million rows are a gigabyte."""
        ratings, self.ratings = self.ratings, self.ratings.clear()
        return ratings


@contextlib.contextmanager
def open_source(path: Path, edition: str | None, scratch: Path) -> Iterator[Source]:
    """Find the edition in a folder or zip; the files of a zip exist until the block ends.

    Args:
        path: Folder or zip, with the files at the top or in one folder below.
        edition: The edition's name; by default the name of the folder that holds the files.
        scratch: Folder for the files of a zip.

    Raises:
        DataError: There is no edition, an incomplete one, more than one, or the zip is broken.
        ConfigError: ``edition`` has another layout than the files.
    """
    if path.is_dir():
        files = (file for pattern in ("*", "*/*") for file in path.glob(pattern) if file.is_file())
        relative = (PurePosixPath(file.relative_to(path)) for file in files)
        inner, layout = _find(path, relative, edition)
        folder = path / inner
        name = edition or folder.resolve().name
        yield Source(edition_name(replace_unprintable(name)), layout, folder)
        return
    if not path.exists():
        raise DataError(
            "no such folder or zip",
            code="ratings_not_found",
            where=str(path),
            hint="Correct the path after --ratings-dir",
        )
    with tempfile.TemporaryDirectory(dir=scratch, prefix="unzipped.") as temporary:
        folder = Path(temporary)
        with open_zip(path, DataError) as archive:
            inner, layout = _unpack(path, archive, edition, folder)
        name = edition or (inner if inner != "." else path.stem)
        yield Source(edition_name(replace_unprintable(PurePosixPath(name).name)), layout, folder)


def find_ratings(
    ratings_dir: Path | None,
    edition: str | None,
    *,
    download: bool | None,
    notify: Callable[[str], None],
) -> Path:
    """Return ``ratings_dir``, or the folder of an edition, downloaded if it is missing.

    Args:
        ratings_dir: Folder or zip named by the user.
        edition: The edition if there is no ``ratings_dir``.
        download: Whether a missing edition may be downloaded; None allows it.
        notify: Receives a line about every download.

    Raises:
        ConfigError: ``ratings_dir`` is missing and ``download`` is set.
        DataError: The edition is missing and may not be downloaded.
        FetchError: There is no such edition, or the download failed.
    """
    if ratings_dir is not None:
        if download and not ratings_dir.exists():
            raise ConfigError(
                f"{ratings_dir} does not exist, and --download only writes to {EDITIONS_FOLDER}",
                code="ratings_dir_missing",
                hint="Leave out --ratings-dir to download, or correct it",
            )
        return ratings_dir
    wanted = edition or DEFAULT_EDITION
    folder = EDITIONS_FOLDER / edition_name(wanted)
    if folder.exists():
        return folder
    if download is False:
        raise DataError(
            "no such folder, and --no-download forbids a download",
            code="edition_not_downloaded",
            where=str(folder),
            hint=f"Run: reeltune fetch {wanted}, or name the folder with --ratings-dir",
        )
    return _fetch(wanted, folder, notify)


def _fetch(wanted: str, folder: Path, notify: Callable[[str], None]) -> Path:
    from reeltune.fetch.editions import OFFICIAL_BASE_URL, find_edition
    from reeltune.fetch.install import FetchOptions, fetch_edition

    edition = find_edition(wanted)
    notify(f"{folder} is missing: downloading {edition.name} (--no-download forbids it)")
    options = FetchOptions(
        base_url=os.environ.get("REELTUNE_MOVIELENS_URL", OFFICIAL_BASE_URL),
        notify=notify,
    )
    fetched = fetch_edition(edition, folder.parent, options=options)
    for line in (f"verified: {fetched.verified}", *edition.terms):
        notify(line)
    return fetched.folder


def _find(path: Path, files: Iterable[PurePosixPath], edition: str | None) -> tuple[str, Layout]:
    """Return the one folder that holds an edition, and its layout. The top takes precedence."""
    folders: dict[str, set[str]] = {}
    for file in sorted(files, key=lambda file: file.parent.as_posix()):
        folders.setdefault(file.parent.as_posix(), set()).add(file.name)
    editions = {
        inner: layout
        for inner, names in folders.items()
        if (layout := recognise(names, _folder_name(path, inner), edition)) is not None
    }
    if not editions:
        raise missing_files_error(str(path), folders)
    if "." in editions:
        return ".", editions["."]
    if len(editions) > 1:
        raise DataError(
            f"{len(editions)} editions here: {', '.join(sorted(editions)[:5])}",
            code="several_editions",
            where=str(path),
            hint="Point --ratings-dir at one of them",
        )
    return next(iter(editions.items()))


def _folder_name(path: Path, inner: str) -> str:
    if inner != ".":
        return PurePosixPath(inner).name
    return path.resolve().name if path.is_dir() else path.stem


def _unpack(
    path: Path, archive: zipfile.ZipFile, edition: str | None, folder: Path
) -> tuple[str, Layout]:
    """Unpack the edition's files under their bare names, whatever paths the zip gives them."""
    files = [(member_path(info), info) for info in archive.infolist() if not info.is_dir()]
    inner, layout = _find(path, (name for name, _ in files), edition)
    wanted = (PurePosixPath(inner, name) for name in (*layout.files, TAGS_CSV))
    members = [info for needed in wanted for name, info in files if name == needed]
    check_members(path, members)
    size, free = sum(info.file_size for info in members), shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"unpacks to {size:,} bytes, and {free:,} are free",
            code="not_enough_space",
            where=str(path),
            hint="Make room on the disk of --output-dir",
        )
    for info in members:
        copy_member(archive, info, folder / member_path(info).name)
    return inner, layout
