"""Candidates are the most rated of the unrated items that match; their number has a reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.history import History
from reeltune.errors import RequestError
from reeltune.recommend.candidates import (
    ALL,
    DEFAULT_CANDIDATES,
    CandidateCount,
    CandidateLimit,
    Filters,
    default_limit,
)
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.pipeline import (
    RecommendationPipeline,
    RecommendationRequest,
    Selection,
    require_eligible,
)
from tests.errors import raises_error
from tests.recommend.build import catalogue_of, catalogues

NO_RATINGS = History.of([], [])


def pipeline(catalogue: Catalogue, limit: CandidateLimit | None = None) -> RecommendationPipeline:
    return RecommendationPipeline(
        catalogue,
        history_len=3,
        used_history=3,
        has_adapter=False,
        trained_history=3,
        limit=limit or CandidateLimit(ALL, "test"),
    )


def select(catalogue: Catalogue, request: RecommendationRequest) -> Selection:
    return pipeline(catalogue).select(request)


@pytest.mark.slow
@given(catalogues(), st.sets(st.integers(0, 11)), st.integers(0, 3))
def test_all_unrated_matching_items_are_eligible(
    catalogue: Catalogue, rated: set[int], fewest: int
):
    filters = Filters(min_ratings=fewest)
    items = [item for item in rated if item < len(catalogue.items)]
    request = RecommendationRequest(History.of(items, [3.0] * len(items)), filters)
    expected = [item for item in filters.matching(catalogue).tolist() if item not in items]
    selection = select(catalogue, request)
    assert selection.query.candidates.tolist() == expected
    assert selection.eligible == len(expected)
    if expected:
        require_eligible(catalogue, request)
        return
    with raises_error(RequestError, "no_items_left"):
        require_eligible(catalogue, request)


@pytest.mark.slow
@given(catalogues(), st.just(ALL) | st.integers(1, 12), st.data())
def test_the_most_rated_are_chosen_and_stay_in_catalogue_order(
    catalogue: Catalogue, count: CandidateCount, data: st.DataObject
):
    rated = sorted(data.draw(st.sets(st.sampled_from(range(len(catalogue.items))))))
    history = History.of(rated, [3.0] * len(rated))
    unrated = [item for item in range(len(catalogue.items)) if item not in rated]
    by_ratings = sorted(unrated, key=lambda item: (-catalogue.ratings[item], item))
    expected = sorted(by_ratings if count == ALL else by_ratings[:count])
    for chosen in (
        select(catalogue, RecommendationRequest(history, candidates=count)),
        pipeline(catalogue, CandidateLimit(count, "test")).select(RecommendationRequest(history)),
    ):
        assert chosen.query.candidates.tolist() == expected
        assert chosen.eligible == len(unrated)


def test_items_older_than_the_shown_history_are_not_recommended_either():
    shelf = catalogue_of(*(f"Film {n} (2000)" for n in range(8)))
    selection = select(shelf, RecommendationRequest(History.of([1, 2, 3, 4, 5], [3.0] * 5)))
    assert selection.query.candidates.tolist() == [0, 6, 7]
    assert selection.query.history.item_idx.tolist() == [3, 4, 5]


def test_the_error_tells_whether_the_filters_or_the_history_left_nothing():
    shelf = catalogue_of("One (1999)", "Two (2000)")
    with raises_error(RequestError, "no_items_left") as caught:
        require_eligible(shelf, RecommendationRequest(NO_RATINGS, Filters(year_from=2001)))
    assert not re.search(r"\d", caught.value.message)
    rated = History.of([1], [3.0])
    with raises_error(RequestError, "no_items_left", figures=[1]):
        require_eligible(shelf, RecommendationRequest(rated, Filters(year_from=2000)))


@pytest.mark.parametrize(
    ("device", "count"), [("cuda", ALL), ("cpu", DEFAULT_CANDIDATES), ("mps", DEFAULT_CANDIDATES)]
)
def test_the_default_depends_on_the_device(device: str, count: CandidateCount):
    limit = default_limit(device)
    assert limit.count == count
    assert "CUDA" in limit.reason


@pytest.mark.parametrize("requested", [None, 3])
def test_the_log_names_the_number_of_candidates_and_its_reason(requested: int | None):
    shelf = catalogue_of(*(f"Film {n} (2000)" for n in range(9)))
    limited = pipeline(shelf, CandidateLimit(4, "of the test"))
    selection = limited.select(RecommendationRequest(NO_RATINGS, candidates=requested))
    sentence = selection.sentence()
    assert re.findall(r"\d+", sentence) == [str(requested or 4), "9"]
    assert ("of the test" in sentence) == (requested is None)
    all_of_them = limited.select(RecommendationRequest(NO_RATINGS, candidates=9)).sentence()
    assert re.findall(r"\d+", all_of_them) == ["9"]
