"""The file layouts of the MovieLens editions, and how to recognise one from its file names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reeltune.domain import HALF_STARS, WHOLE_STARS, RatingScale
from reeltune.errors import ConfigError, DataError


@dataclass(frozen=True)
class Layout:
    """How an edition lays out its files.

    Attributes:
        name: Short name, stored in ``meta.json``.
        ratings_file: One rating per line: user, film, stars, timestamp.
        items_file: One film per row.
        separator: What stands between the fields of a rating.
        header: Whether both files begin with a line of column names (fields are then found by
            name and quoting is allowed).
        encodings: Tried in this order for the films file. The first that decodes the whole file
            is taken: text of the old editions is Latin-1 except that 10M is in fact UTF-8, and
            Latin-1 text with accents is practically never valid UTF-8.
        scale: The stars allowed.
    """

    name: str
    ratings_file: str
    items_file: str
    separator: str
    header: bool
    encodings: tuple[str, ...]
    scale: RatingScale

    @property
    def files(self) -> tuple[str, str]:
        """The names of the files that are read."""
        return (self.ratings_file, self.items_file)


_OLD_TEXT = ("utf-8-sig", "latin-1")

CSV: Final = Layout("csv", "ratings.csv", "movies.csv", ",", True, ("utf-8-sig",), HALF_STARS)
DAT_1M: Final = Layout("1m", "ratings.dat", "movies.dat", "::", False, _OLD_TEXT, WHOLE_STARS)
DAT_10M: Final = Layout("10m", "ratings.dat", "movies.dat", "::", False, _OLD_TEXT, HALF_STARS)
TAB_100K: Final = Layout("100k", "u.data", "u.item", "\t", False, _OLD_TEXT, WHOLE_STARS)

EDITIONS: Final[Mapping[str, Layout]] = {
    "ml-latest-small": CSV,
    "ml-latest": CSV,
    "ml-100k": TAB_100K,
    "ml-1m": DAT_1M,
    "ml-10m": DAT_10M,
    "ml-20m": CSV,
    "ml-25m": CSV,
    "ml-32m": CSV,
}
_ALIASES = {"ml-10m100k": "ml-10m"}


def edition_name(name: str) -> str:
    """Return the usual name of an edition: ``100K`` and ``ml-100k`` are both ``ml-100k``.

    A name that is not an edition's is returned as it is.
    """
    lowered = name.lower()
    for spelling in (lowered, f"ml-{lowered}"):
        edition = _ALIASES.get(spelling, spelling)
        if edition in EDITIONS:
            return edition
    return name


def recognise(names: frozenset[str], folder_name: str, edition: str | None) -> Layout | None:
    """Tell which layout a folder's files have, or None when they have none.

    Args:
        names: The names of the files in one folder.
        folder_name: The name of that folder, a hint where the files alone do not tell.
        edition: What the user calls it, if anything; believed before the folder's name.

    Raises:
        ConfigError: ``edition`` is an edition of another layout than the files have.
        DataError: ``ratings.dat`` without anything that tells 1M from 10M.
    """
    layout = next((one for one in (CSV, TAB_100K, DAT_1M) if names.issuperset(one.files)), None)
    if layout is DAT_1M:
        layout = _tell_dat_editions_apart(names, folder_name, edition)
    if layout is not None and edition is not None:
        expected = EDITIONS.get(edition_name(edition), layout)
        if expected is not layout:
            raise ConfigError(
                f"--edition {edition} consists of {', '.join(expected.files)}, but the folder "
                f"holds {', '.join(layout.files)}",
                code="edition_mismatch",
                where=folder_name,
                hint="Correct --edition or leave it out",
            )
    return layout


def _tell_dat_editions_apart(
    names: frozenset[str], folder_name: str, edition: str | None
) -> Layout:
    """1M rates in whole stars, 10M in half stars; the files that come along differ."""
    for hint in (edition, folder_name):
        layout = EDITIONS.get(edition_name(hint)) if hint else None
        if layout in (DAT_1M, DAT_10M):
            return layout
    with_users, with_tags = "users.dat" in names, "tags.dat" in names
    if with_users == with_tags:
        raise DataError(
            "ratings.dat and movies.dat may be ml-1m (whole stars) or ml-10m (half stars), and "
            "neither users.dat nor tags.dat tells which",
            code="ambiguous_edition",
            where=folder_name,
            hint="Pass --edition ml-1m or --edition ml-10m",
        )
    return DAT_1M if with_users else DAT_10M


def missing_files_error(where: str, folders: Mapping[str, frozenset[str]]) -> DataError:
    """Say which files were looked for, and which of an almost complete edition are missing."""
    for names in folders.values():
        for layout in (CSV, TAB_100K, DAT_1M):
            missing = [name for name in layout.files if name not in names]
            if len(missing) < len(layout.files):
                return DataError(
                    f"{' and '.join(missing)} missing (there is "
                    f"{' and '.join(name for name in layout.files if name in names)})",
                    code="edition_incomplete",
                    where=where,
                    hint="Add the missing file, or point --ratings-dir at a complete edition",
                )
    wanted = "; ".join(" + ".join(layout.files) for layout in (CSV, DAT_1M, TAB_100K))
    return DataError(
        f"no ratings found; looked for: {wanted}",
        code="no_edition_found",
        where=where,
        hint="Point --ratings-dir at the folder or zip of a MovieLens edition",
    )
