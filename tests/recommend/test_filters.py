"""Filters are their definition, film by film."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.errors import RequestError
from reeltune.recommend.candidates import Filters
from reeltune.recommend.catalogue import Catalogue
from tests.errors import raises_error
from tests.recommend.build import GENRES, catalogue_of, catalogues

_years = st.none() | st.integers(1989, 1994)


@st.composite
def filtered(draw: st.DrawFn) -> tuple[Catalogue, Filters]:
    """Draw films, and filters on what some of them are."""
    catalogue = draw(catalogues())
    known = sorted({genre for item in catalogue.items for genre in item.genres})
    some = st.lists(st.sampled_from(known), max_size=2).map(tuple) if known else st.just(())
    wanted = st.builds(
        Filters,
        genres=some,
        without_genres=some,
        year_from=_years,
        year_to=_years,
        min_ratings=st.integers(0, 2),
        max_ratings=st.none() | st.integers(0, 3),
    )
    return catalogue, draw(wanted)


def fits(wanted: Filters, catalogue: Catalogue, row: int) -> bool:
    item, ratings = catalogue.items[row], catalogue.ratings[row]
    if wanted.genres and not set(wanted.genres) & set(item.genres):
        return False
    if set(wanted.without_genres) & set(item.genres):
        return False
    dated = wanted.year_from is not None or wanted.year_to is not None
    if dated and item.year is None:
        return False
    if wanted.year_from is not None and item.year < wanted.year_from:
        return False
    if wanted.year_to is not None and item.year > wanted.year_to:
        return False
    if wanted.max_ratings is not None and ratings > wanted.max_ratings:
        return False
    return ratings >= wanted.min_ratings


@pytest.mark.slow
@given(filtered())
def test_what_fits_is_what_every_filter_lets_through(drawn: tuple[Catalogue, Filters]):
    catalogue, wanted = drawn
    expected = [row for row in range(len(catalogue.items)) if fits(wanted, catalogue, row)]
    assert wanted.matching(catalogue).tolist() == expected


@pytest.mark.slow
@given(catalogues(), st.sampled_from(["year_from", "year_to", "min_ratings", "max_ratings"]))
def test_bounds_are_inclusive(catalogue: Catalogue, bound: str):
    """A film is within every bound set at its own year or number of ratings."""
    for row, item in enumerate(catalogue.items):
        own = item.year if bound.startswith("year") else int(catalogue.ratings[row])
        if own is not None:
            assert row in Filters(**{bound: own}).matching(catalogue)


@pytest.mark.slow
@given(catalogues())
def test_default_filters_match_everything(catalogue: Catalogue):
    assert Filters().matching(catalogue).tolist() == list(range(len(catalogue.items)))


@pytest.mark.slow
@given(catalogues(), st.sampled_from(GENRES))
def test_capitals_make_no_difference_and_the_two_ways_share_the_films_out(
    catalogue: Catalogue, genre: str
):
    if not any(genre in item.genres for item in catalogue.items):
        return
    having = Filters(genres=(genre.upper(),)).matching(catalogue).tolist()
    lacking = Filters(without_genres=(genre.lower(),)).matching(catalogue).tolist()
    assert having
    assert sorted([*having, *lacking]) == list(range(len(catalogue.items)))


def test_an_unknown_genre_is_answered_with_the_known_ones(prepared):
    catalogue = Catalogue.of(prepared)
    for wanted in (Filters(genres=("Drama", "Opera")), Filters(without_genres=("Opera",))):
        with raises_error(RequestError, "unknown_genre", figures=["'Opera'"]) as caught:
            wanted.matching(catalogue)
        assert str(caught.value.hint).endswith("Action, Comedy, Drama, Film-Noir, Sci-Fi")


def test_without_genres_none_are_offered():
    with raises_error(RequestError, "unknown_genre", figures=["no genres"]):
        Filters(genres=("Opera",)).matching(catalogue_of("Harbour (1995)"))
