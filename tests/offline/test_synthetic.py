"""Synthetic ratings: the invariants of MovieLens' form, and learnable preferences."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reeltune.errors import FetchError
from reeltune.offline.synthetic import README, make_synthetic, readme_of
from tests.errors import raises_error


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dev_data") / "synthetic"
    make_synthetic(folder, users=400, items=300, ratings_per_user=50, seed=1)
    return folder


@pytest.fixture(scope="module")
def ratings(made: Path) -> pl.DataFrame:
    return pl.read_csv(made / "ratings.csv")


@pytest.fixture(scope="module")
def movies(made: Path) -> pl.DataFrame:
    return pl.read_csv(made / "movies.csv")


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_invariants_hold_for_any_size(data: st.DataObject) -> None:
    users = data.draw(st.integers(1, 40), label="users")
    items = data.draw(st.integers(20, 80), label="items")
    mean = data.draw(st.integers(20, items), label="ratings per user")
    seed = data.draw(st.integers(0, 2**40), label="seed")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "made"
        count = make_synthetic(folder, users, items, mean, seed)
        ratings = pl.read_csv(folder / "ratings.csv", schema_overrides={"rating": pl.Float64})
        movies = pl.read_csv(folder / "movies.csv")
    assert ratings.columns == ["userId", "movieId", "rating", "timestamp"]
    assert movies.columns == ["movieId", "title", "genres"]
    assert ratings.height == count
    assert ratings.select("userId", "movieId").is_unique().all()
    assert ratings.equals(ratings.sort("userId", "movieId"))
    assert ratings["userId"].unique().to_list() == list(range(1, users + 1))
    assert ratings.group_by("userId").len()["len"].min() in range(20, items + 1)
    assert ratings["movieId"].is_in(movies["movieId"].to_list()).all()
    assert set(ratings["rating"].to_list()) <= {half / 2 for half in range(1, 11)}
    assert ratings["timestamp"].to_numpy().min() > 0
    assert movies.height == items
    assert movies["movieId"].is_unique().all()
    assert movies["title"].is_unique().all()


def test_same_seed_same_bytes_other_seed_other_ratings(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_synthetic(tmp_path / name, 30, 60, 25, seed)
    files = {
        name: [(tmp_path / name / file).read_bytes() for file in ("ratings.csv", "movies.csv")]
        for name in "abc"
    }
    assert files["a"] == files["b"]
    assert files["a"][0] != files["c"][0]


def test_about_half_of_the_ratings_are_likes(ratings: pl.DataFrame) -> None:
    share = (ratings["rating"] >= 4.0).mean()
    assert share == pytest.approx(0.5, abs=0.02)
    assert ratings["rating"].n_unique() == 10


def test_counts_have_the_given_mean_and_are_skewed(ratings: pl.DataFrame) -> None:
    counts = ratings.group_by("userId").len()["len"].to_numpy()
    assert counts.mean() == pytest.approx(50, rel=0.1)
    assert np.median(counts) < counts.mean()
    assert counts.max() > 3 * counts.mean()


def test_some_films_are_far_more_popular(ratings: pl.DataFrame) -> None:
    counts = ratings.group_by("movieId").len()["len"].to_numpy()
    assert counts.max() > 4 * np.median(counts)


def test_time_has_ties_and_is_not_the_order_of_rows(ratings: pl.DataFrame) -> None:
    first = ratings.filter(pl.col("userId") == 1)["timestamp"].to_numpy()
    assert (np.diff(first) < 0).any()
    same = ratings.group_by("userId").agg(pl.col("timestamp").n_unique() < pl.len())
    assert same["timestamp"].to_numpy().mean() > 0.9


def test_preferences_can_be_learned(ratings: pl.DataFrame, movies: pl.DataFrame) -> None:
    """Other ratings of an item, and the user's ratings of its genre, both predict held-out ones."""
    genre = movies.select("movieId", pl.col("genres").str.split("|").list.first().alias("genre"))
    rows = ratings.join(genre, on="movieId").with_row_index()
    known, held_out = rows.filter(pl.col("index") % 2 == 0), rows.filter(pl.col("index") % 2 == 1)

    def correlation(keys: list[str]) -> float:
        means = known.group_by(keys).agg(pl.col("rating").mean().alias("mean"))
        both = held_out.join(means, on=keys)
        return float(np.corrcoef(both["mean"], both["rating"])[0, 1])

    item, user = correlation(["movieId"]), correlation(["userId"])
    user_genre = correlation(["userId", "genre"])
    assert item > 0.2
    assert user > 0.15
    assert user_genre > user + 0.1


@pytest.mark.parametrize(
    "condition",
    [
        pl.col("title").str.contains(", The"),
        pl.col("title").str.contains('"'),
        pl.col("title").str.contains("[éüñŘ]"),
        ~pl.col("title").str.contains(r"\(\d{4}\)$"),
        pl.col("genres") == "(no genres listed)",
        pl.col("genres").str.contains(r"\|"),
    ],
)
def test_oddities_occur_in_a_minority_of_titles(movies: pl.DataFrame, condition: pl.Expr) -> None:
    count = movies.filter(condition).height
    assert 0 < count < movies.height * (0.8 if "genres" in str(condition) else 0.2)


def test_readme_says_synthetic_and_how_to_repeat_it(made: Path) -> None:
    text = (made / "README.txt").read_text()
    assert text.startswith("SYNTHETIC ")
    assert "--users 400 --items 300 --ratings-per-user 50 --seed 1" in text
    assert readme_of(README, 400, 300, 50, 1) == text != readme_of(README, 400, 300, 50, 2)


@pytest.mark.parametrize(
    ("numbers", "flag"),
    [
        ((0, 50, 20, 0), "--users"),
        ((1, 19, 20, 0), "--items"),
        ((1, 50, 19, 0), "--ratings-per-user"),
        ((1, 50, 51, 0), "--ratings-per-user"),
        ((1, 50, 20, -1), "--seed"),
    ],
)
def test_numbers_out_of_range(
    tmp_path: Path, numbers: tuple[int, int, int, int], flag: str
) -> None:
    with raises_error(FetchError, "synthetic_size_out_of_range", where=flag):
        make_synthetic(tmp_path / "made", *numbers)
    assert list(tmp_path.iterdir()) == []
