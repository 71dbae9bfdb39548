"""The MovieLens editions: names, addresses, checksums, counts and terms of use."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

from reeltune.errors import FetchError

OFFICIAL_BASE_URL: Final = "https://files.grouplens.org/datasets/movielens"

_CSV_FILES: Final = ("ratings.csv", "movies.csv")
_DAT_FILES: Final = ("ratings.dat", "movies.dat")
_TAB_FILES: Final = ("u.data", "u.item")

_TERMS_PRIVATE: Final = (
    "MovieLens by GroupLens, University of Minnesota: for research, with acknowledgement (Harper "
    "and Konstan 2015) and no implied endorsement.",
    "Passing the data on, and any commercial use, each need GroupLens' permission first.",
)
_TERMS_SHARED: Final = (
    "MovieLens by GroupLens, University of Minnesota: for research, with acknowledgement (Harper "
    "and Konstan 2015) and no implied endorsement.",
    "It may be passed on, changed too, under these same terms; commercial use needs GroupLens' "
    "permission first.",
)


@dataclass(frozen=True)
class Edition:
    """One MovieLens release.

    Attributes:
        name: As GroupLens writes it: ``ml-1m``.
        md5: MD5 of the zip file; None where GroupLens replaces the file from time to time.
        archive_folder: The one folder inside the zip file.
        needed: The files without which the edition cannot be used, ratings first.
        users: Number of users; None where it changes.
        ratings: Number of ratings; None where it changes.
        terms: The terms of use in two lines.
    """

    name: str
    md5: str | None
    archive_folder: str
    needed: tuple[str, str]
    users: int | None
    ratings: int | None
    terms: tuple[str, str]

    @property
    def aliases(self) -> tuple[str, str]:
        """The names a user may type: with and without ``ml-``."""
        return (self.name, self.name.removeprefix("ml-"))

    @property
    def header_lines(self) -> int:
        """Lines of the ratings file that are no ratings."""
        return 1 if self.needed == _CSV_FILES else 0

    def url(self, base_url: str = OFFICIAL_BASE_URL) -> str:
        """Return the address of the zip file at ``base_url``."""
        return f"{base_url.rstrip('/')}/{self.name}.zip"


EDITIONS: Final = (
    Edition(
        name="ml-latest-small",
        md5="31a303aabbc519bd33d025e44d6c2570",  # the release of September 2018
        archive_folder="ml-latest-small",
        needed=_CSV_FILES,
        users=610,
        ratings=100_836,
        terms=_TERMS_SHARED,
    ),
    Edition(
        name="ml-100k",
        md5="0e33842e24a9c977be4e0107933c0723",
        archive_folder="ml-100k",
        needed=_TAB_FILES,
        users=943,
        ratings=100_000,
        terms=_TERMS_PRIVATE,
    ),
    Edition(
        name="ml-1m",
        md5="c4d9eecfca2ab87c1945afe126590906",
        archive_folder="ml-1m",
        needed=_DAT_FILES,
        users=6_040,
        ratings=1_000_209,
        terms=_TERMS_PRIVATE,
    ),
    Edition(
        name="ml-10m",
        md5="ce571fd55effeba0271552578f2648bd",
        archive_folder="ml-10M100K",
        needed=_DAT_FILES,
        users=71_567,
        ratings=10_000_054,
        terms=_TERMS_PRIVATE,
    ),
    Edition(
        name="ml-20m",
        md5="cd245b17a1ae2cc31bb14903e1204af3",
        archive_folder="ml-20m",
        needed=_CSV_FILES,
        users=138_493,
        ratings=20_000_263,
        terms=_TERMS_PRIVATE,
    ),
    Edition(
        name="ml-25m",
        md5="6b51fb2759a8657d3bfcbfc42b592ada",
        archive_folder="ml-25m",
        needed=_CSV_FILES,
        users=162_541,
        ratings=25_000_095,
        terms=_TERMS_PRIVATE,
    ),
    Edition(
        name="ml-32m",
        md5="d472be332d4daa821edc399621853b57",
        archive_folder="ml-32m",
        needed=_CSV_FILES,
        users=200_948,
        ratings=32_000_204,
        terms=_TERMS_SHARED,
    ),
    Edition(
        name="ml-latest",
        md5=None,
        archive_folder="ml-latest",
        needed=_CSV_FILES,
        users=None,
        ratings=None,
        terms=_TERMS_SHARED,
    ),
)


def find_edition(name: str) -> Edition:
    """Return the edition called ``name``, with or without ``ml-``, in any case.

    Raises:
        FetchError: There is none; the message names the nearest one.
    """
    by_alias = {alias: edition for edition in EDITIONS for alias in edition.aliases}
    wanted = name.strip().lower()
    if wanted in by_alias:
        return by_alias[wanted]
    near = difflib.get_close_matches(wanted, by_alias, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    known = ", ".join(edition.name for edition in EDITIONS)
    raise FetchError(f"no edition is called {name!r}", hint=f"{hint}Known: {known}")
