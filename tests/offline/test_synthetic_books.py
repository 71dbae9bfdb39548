"""Synthetic books: sparse, with ids of text, and a taste that follows the text of items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reeltune.errors import FetchError
from reeltune.offline.synthetic_books import make_synthetic_books
from tests.errors import raises_error


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dev_data") / "books"
    make_synthetic_books(folder, users=300, items=240, seed=1)
    return folder


@pytest.fixture(scope="module")
def ratings(made: Path) -> pl.DataFrame:
    return pl.read_csv(made / "ratings.csv", schema_overrides={"isbn": pl.String})


@pytest.fixture(scope="module")
def books(made: Path) -> pl.DataFrame:
    return pl.read_csv(made / "books.csv", schema_overrides={"isbn": pl.String})


def test_the_tables(ratings: pl.DataFrame, books: pl.DataFrame):
    assert ratings.columns == ["user_id", "isbn", "score", "reviewed_at"]
    assert books.columns == ["isbn", "name", "author", "genre", "year", "blurb"]
    assert books["isbn"].is_unique().all() and books.height == 240
    assert ratings["isbn"].is_in(books["isbn"].to_list()).all()
    assert ratings["isbn"].str.starts_with("0").any()  # lost if read as a number
    assert ratings.select("user_id", "isbn").is_unique().all()
    assert set(ratings["score"].to_list()) == set(range(1, 11))
    assert 0.4 < (ratings["score"] >= 7).mean() < 0.6
    assert 8 < ratings.height / ratings["user_id"].n_unique() <= 12
    assert not ratings["user_id"].is_sorted()


def test_books_appear_one_after_another(ratings: pl.DataFrame):
    first = ratings.group_by("isbn").agg(pl.col("reviewed_at").min())["reviewed_at"]
    assert first.str.slice(0, 4).n_unique() == 10


def test_taste_follows_author_and_genre(ratings: pl.DataFrame, books: pl.DataFrame):
    rows = ratings.join(books, on="isbn")
    spread = float(np.var(rows["score"].to_numpy()))

    def left(*names: str) -> float:
        mean = pl.col("score").mean().over(names)
        return float(rows.select(((pl.col("score") - mean) ** 2).mean()).item()) / spread

    assert left("author") < 0.75
    assert left("user_id", "genre") < left("user_id") - 0.2


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        make_synthetic_books(tmp_path / name, 20, 40, seed=seed)
    one, two, three = (
        [(tmp_path / name / file).read_bytes() for file in ("ratings.csv", "books.csv")]
        for name in ("one", "two", "three")
    )
    assert one == two != three


@pytest.mark.parametrize(
    ("numbers", "flag"),
    [
        ((0, 50, 12, 0), "--users"),
        ((1, 19, 5, 0), "--items"),
        ((1, 50, 1, 0), "--ratings-per-user"),
        ((1, 50, 51, 0), "--ratings-per-user"),
        ((1, 50, 12, -1), "--seed"),
    ],
)
def test_numbers_out_of_range(tmp_path: Path, numbers: tuple[int, int, int, int], flag: str):
    with raises_error(FetchError, "synthetic_size_out_of_range", where=flag):
        make_synthetic_books(tmp_path / "made", *numbers)
    assert list(tmp_path.iterdir()) == []
