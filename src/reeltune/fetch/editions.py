"""The MovieLens editions: names, addresses, checksums, counts and terms of use."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reeltune.errors import FetchError

OFFICIAL_BASE_URL: Final = "https://files.grouplens.org/datasets/movielens"

_CSV: Final = ("ratings.csv", "movies.csv")
_DAT: Final = ("ratings.dat", "movies.dat")
_TAB: Final = ("u.data", "u.item")

_USE: Final = (
    "MovieLens by GroupLens, University of Minnesota: for research, with acknowledgement (Harper "
    "and Konstan 2015) and no implied endorsement."
)
_PRIVATE: Final = (
    _USE,
    "Passing the data on, and any commercial use, each need GroupLens' permission first.",
)
_SHARED: Final = (
    _USE,
    "It may be passed on, changed too, under these same terms; commercial use needs GroupLens' "
    "permission first.",
)


@dataclass(frozen=True)
class Edition:
    """One MovieLens release.

    Attributes:
        md5: MD5 of the zip file; None, like users and ratings, if GroupLens updates the file.
        needed: The ratings file and the items file.
        terms: The terms of use in two lines.
        zip_folder: The folder inside the zip file, unless it is ``name``.
    """

    name: str
    md5: str | None
    needed: tuple[str, str]
    users: int | None
    ratings: int | None
    terms: tuple[str, str]
    zip_folder: str | None = None

    @property
    def aliases(self) -> tuple[str, str]:
        """The accepted names: with and without ``ml-``."""
        return (self.name, self.name.removeprefix("ml-"))

    @property
    def archive_folder(self) -> str:
        """The folder inside the zip file."""
        return self.zip_folder or self.name

    @property
    def header_lines(self) -> int:
        """Number of header lines in the ratings file."""
        return 1 if self.needed == _CSV else 0

    def url(self, base_url: str = OFFICIAL_BASE_URL) -> str:
        """Return the address of the zip file at ``base_url``."""
        return f"{base_url.rstrip('/')}/{self.name}.zip"

    def is_in(self, folder: Path) -> bool:
        """Return whether ``folder`` holds the needed files."""
        return all((folder / name).is_file() for name in self.needed)


EDITIONS: Final = (
    # The release of September 2018.
    Edition("ml-latest-small", "31a303aabbc519bd33d025e44d6c2570", _CSV, 610, 100_836, _SHARED),
    Edition("ml-100k", "0e33842e24a9c977be4e0107933c0723", _TAB, 943, 100_000, _PRIVATE),
    Edition("ml-1m", "c4d9eecfca2ab87c1945afe126590906", _DAT, 6_040, 1_000_209, _PRIVATE),
    Edition(
        "ml-10m",
        "ce571fd55effeba0271552578f2648bd",
        _DAT,
        71_567,
        10_000_054,
        _PRIVATE,
        zip_folder="ml-10M100K",
    ),
    Edition("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3", _CSV, 138_493, 20_000_263, _PRIVATE),
    Edition("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada", _CSV, 162_541, 25_000_095, _PRIVATE),
    Edition("ml-32m", "d472be332d4daa821edc399621853b57", _CSV, 200_948, 32_000_204, _SHARED),
    Edition("ml-latest", None, _CSV, None, None, _SHARED),
)


def find_edition(name: str) -> Edition:
    """Return the edition called ``name``, with or without ``ml-``, in any case.

    Raises:
        FetchError: There is none; the hint names the nearest one.
    """
    by_alias = {alias: edition for edition in EDITIONS for alias in edition.aliases}
    wanted = name.strip().lower()
    if wanted in by_alias:
        return by_alias[wanted]
    near = difflib.get_close_matches(wanted, by_alias, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    known = ", ".join(edition.name for edition in EDITIONS)
    raise FetchError(
        f"no edition is called {name!r}", code="unknown_edition", hint=f"{hint}Known: {known}"
    )
