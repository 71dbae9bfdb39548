"""For whom, and which films: a user's whole timeline, no film twice, and a limit that is told."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.errors import RequestError
from reeltune.recommend.candidates import (
    CPU_CANDIDATES,
    choose_candidates,
    unrated,
    user_history,
)
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.filters import Filters, most_rated
from tests.errors import raises_error
from tests.recommend.build import catalogue_of, catalogues
from tests.timelines import random_timelines


@given(random_timelines(items=30))
def test_a_users_history_is_their_whole_timeline(timelines):
    histories = [user_history(timelines, user) for user in sorted(set(timelines.user_id.tolist()))]
    assert np.concatenate([one.item_idx for one in histories]).tolist() == (
        timelines.item_idx.tolist()
    )
    assert np.concatenate([one.rating for one in histories]).tolist() == timelines.rating.tolist()


@pytest.mark.parametrize("user", [0, 2, 72, -1, 10**30])
def test_an_unknown_user_is_answered_with_the_range_of_ids(prepared: PreparedFolder, user: int):
    assert len(user_history(prepared.timelines, 1)) >= 20
    assert len(user_history(prepared.timelines, 71)) >= 20
    with raises_error(RequestError, "unknown_user", figures=[user]) as caught:
        user_history(prepared.timelines, user)
    assert re.findall(r"\d+", str(caught.value.hint)) == ["1", "71"]


@given(catalogues(), st.sets(st.integers(0, 11)), st.integers(0, 3))
def test_films_that_fit_and_are_not_rated_are_left(
    catalogue: Catalogue, rated: set[int], fewest: int
):
    filters = Filters(min_ratings=fewest)
    rows = [row for row in rated if row < len(catalogue.items)]
    history = History.of(rows, [3.0] * len(rows))
    expected = [row for row in filters.rows(catalogue).tolist() if row not in rows]
    if expected:
        assert unrated(catalogue, filters, history).tolist() == expected
        return
    with raises_error(RequestError, "no_items_left"):
        unrated(catalogue, filters, history)


def test_it_is_said_whether_a_filter_or_the_history_left_no_film():
    shelf = catalogue_of("One (1999)", "Two (2000)")
    with raises_error(RequestError, "no_items_left") as caught:
        unrated(shelf, Filters(year_from=2001), History.of([], []))
    assert not re.search(r"\d", caught.value.message)
    with raises_error(RequestError, "no_items_left", figures=[1]):
        unrated(shelf, Filters(year_from=2000), History.of([1], [3.0]))


ALL: Literal["all"] = "all"


@pytest.mark.parametrize(
    ("asked", "device", "judged", "said"),
    [
        (None, "cuda", 400, "all 400 films that fit and are not rated yet (a CUDA device"),
        (None, "cpu", CPU_CANDIDATES, "the 300 most often rated of 400 films that fit and are"),
        (None, "mps", CPU_CANDIDATES, "(without a CUDA device all would take long; --candidates"),
        (ALL, "cpu", 400, "all 400 films that fit and are not rated yet (as asked)"),
        (25, "cuda", 25, "the 25 most often rated of 400 films that fit and are not rated yet (as"),
        (25, "cpu", 25, "the 25 most often rated of 400"),
        (1000, "cpu", 400, "judging all 400 films that fit and are not rated yet"),
    ],
)
def test_how_many_are_judged_and_why_is_said(
    asked: int | Literal["all"] | None, device: str, judged: int, said: str
):
    shelf = catalogue_of(
        *(f"Film {i} (2000)" for i in range(450)), ratings=[i * 7 % 450 for i in range(450)]
    )
    rows = np.arange(50, 450)
    chosen = choose_candidates(shelf, rows, asked, device)
    assert chosen.rows.tolist() == most_rated(shelf, rows, judged).tolist()
    assert (len(chosen.rows), chosen.fitting) == (judged, 400)
    assert said in chosen.sentence


def test_with_few_films_no_limit_is_spoken_of():
    shelf = catalogue_of("One (1999)", "Two (2000)")
    chosen = choose_candidates(shelf, np.arange(2), None, "cpu")
    assert chosen.rows.tolist() == [0, 1]
    assert chosen.sentence == "judging all 2 films that fit and are not rated yet"
