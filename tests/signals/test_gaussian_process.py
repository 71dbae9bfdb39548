"""The process equals its definition, and no user learns from their own ratings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.history import History
from reeltune.data.layouts import EDITIONS
from reeltune.domain import GP_HYPERPARAMETERS, SIGNALS, Item, PromptSettings
from reeltune.signals import gaussian_process, item_similarity
from reeltune.signals.gaussian_process import Posterior
from reeltune.signals.item_similarity import ItemSimilarities
from reeltune.signals.item_statistics import (
    FOLDS,
    ITEM_PRIOR,
    assign_folds,
    statistics_without_folds,
    training_ratings,
)
from reeltune.signals.source import SignalSource
from reeltune.signals.target import gp_target, like_probability, stars_per_unit
from reeltune.signals.user_features import USER_PRIOR
from tests.signals.test_source import ITEMS, drawn, with_ratings

FILM_ALONE = PromptSettings(signals=("item",))
ITEM_KIND = tuple(SIGNALS).index("item")


@dataclass(frozen=True)
class Process:
    similarities: ItemSimilarities

    def posterior(self, fold: int, item_idx: np.ndarray, targets: np.ndarray) -> Posterior:
        return Posterior(self.similarities.of_fold(fold), GP_HYPERPARAMETERS, item_idx, targets)


def expectation_of(seed: int, items: list[Item] = ITEMS) -> tuple[Process, np.ndarray]:
    """Return the process of drawn timelines, and the items' mean targets without excluded users."""
    known = drawn(seed)
    ratings = training_ratings(known, np.flatnonzero(known.split == "train"))
    part = assign_folds(known, 0)
    statistics = statistics_without_folds(known, ratings, len(items), part)
    made = Process(ItemSimilarities(known, ratings, part, statistics, items))
    return made, gp_target(statistics.rating[FOLDS], statistics.like_rate[FOLDS])


def covariance(seed: int, rows: list[int]) -> np.ndarray:
    """Return the covariance of consecutive events, computed pair by pair from the definition."""
    known = drawn(seed)
    ratings = np.flatnonzero(known.split == "train")
    part = assign_folds(known, 0)
    statistics = statistics_without_folds(known, ratings, len(ITEMS), part).take(FOLDS)
    mean = gp_target(statistics.rating, statistics.like_rate)
    residuals: dict[int, dict[int, float]] = {}
    for event in ratings:
        own = residuals.setdefault(int(known.user_id[event]), {})
        came = known.rating[event] / 2 + known.liked[event]
        own[int(known.item_idx[event])] = came - mean[known.item_idx[event]]
    for own in residuals.values():
        level = sum(own.values()) / (len(own) + USER_PRIOR)
        for item in own:
            own[item] -= level
    raters = [sum(item in own for own in residuals.values()) for item in range(len(ITEMS))]
    any_mean = gp_target(statistics.any_rating, statistics.any_like)
    w = GP_HYPERPARAMETERS
    found = np.zeros((len(rows), len(rows)))
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            scale = np.sqrt((raters[one] + 20) * (raters[other] + 20))
            both = [own for own in residuals.values() if one in own and other in own]
            shared = set(ITEMS[one].genres) & set(ITEMS[other].genres)
            lengths = np.sqrt(len(ITEMS[one].genres) * len(ITEMS[other].genres))
            years = abs((ITEMS[one].year or 0) - (ITEMS[other].year or 0))
            fame = [np.log1p(statistics.count[item]) - 3 for item in (one, other)]
            praise = [mean[item] - any_mean[item] for item in (one, other)]
            found[i, j] = (
                w.long_term * np.exp(-abs(i - j) / w.long_term_length)
                + w.short_term * np.exp(-abs(i - j) / w.short_term_length)
                + w.rating_similarity * sum(own[one] * own[other] for own in both) / scale
                + w.co_occurrence * len(both) / scale
                + w.genres * len(shared) / lengths
                + w.years * np.exp(-years / w.years_length)
                + w.popularity * fame[0] * fame[1]
                + w.mean_rating * praise[0] * praise[1]
            )
        found[i, i] += w.noise + w.item_mean_variance / (raters[one] + ITEM_PRIOR)
    return found


@pytest.mark.slow
@given(st.integers(0, 30), st.integers(1, 6))
def test_it_is_the_mean_given_all_earlier_events(seed: int, events: int):
    random = np.random.default_rng(seed)
    rows = random.permutation(len(ITEMS))[: events + 1]
    rating = random.integers(1, 11, events) / 2
    targets = gp_target(rating, rating >= 4.0)
    made, mean = expectation_of(seed)
    whole = covariance(seed, rows.tolist())
    pull = np.linalg.solve(whole[:-1, :-1], targets - mean[rows[:-1]])
    expected = mean[rows[-1]] + whole[-1, :-1] @ pull
    found = made.posterior(FOLDS, rows[:-1], targets).after_all_events(rows[-1:])
    assert found == pytest.approx([expected], abs=1e-4)
    along = made.posterior(FOLDS, rows, np.append(targets, 0.0)).before_each_event()
    assert along[-1] == pytest.approx(found[0], abs=1e-9)


def test_without_any_history_the_mean_is_expected():
    made, mean = expectation_of(2)
    nothing = np.array([], dtype=np.int64)
    candidates = np.arange(len(ITEMS))
    unknown_user = made.posterior(FOLDS, nothing, np.array([]))
    assert unknown_user.after_all_events(candidates).tolist() == mean.tolist()
    assert unknown_user.before_each_event().tolist() == []


def test_items_without_a_year_have_the_median_year():
    nameless = [item._replace(year=None) if item.item_id == 2 else item for item in ITEMS]
    middle = [item._replace(year=1994) if item.item_id == 2 else item for item in ITEMS]
    others = [item.year for item in ITEMS if item.item_id != 2]
    assert np.median([year for year in others if year]) == 1994
    rows, targets, candidates = np.array([2, 5]), np.array([3.5, 0.5]), np.arange(len(ITEMS))
    found = [
        expectation_of(1, items)[0].posterior(FOLDS, rows, targets).after_all_events(candidates)
        for items in (nameless, middle)
    ]
    assert found[0].tolist() == found[1].tolist()


@given(st.integers(0, 50), st.integers(0, 10_000))
def test_item_statistics_exclude_the_users_own_ratings(seed: int, place: int):
    known = drawn(seed)
    event = place % len(known)
    own = known.user_id == known.user_id[event]
    changed = with_ratings(known, event, 0.5)
    before, after = (SignalSource(one, ITEMS, FILM_ALONE).of_events() for one in (known, changed))
    assert np.array_equal(before[own], after[own])
    # An unknown user with the same history: no fold is excluded.
    history = History.from_timelines(known, range(int(np.flatnonzero(own)[0]), event + 1))
    candidates = np.arange(len(ITEMS))
    sources = [SignalSource(one, ITEMS, FILM_ALONE) for one in (known, changed)]
    result = [one.of_query(history, candidates, 0)[1] for one in sources]
    assert np.array_equal(result[0], result[1])


def test_an_unknown_user_sees_the_ratings_of_all_users():
    known = drawn(5)
    source = SignalSource(known, ITEMS, FILM_ALONE)
    own = History.from_timelines(known, range(0, 3))
    unknown_user = History(own.item_idx, own.rating)
    assert own.user_id == known.user_id[0]
    assert unknown_user.user_id is None
    candidates = np.arange(len(ITEMS))
    result = [source.of_query(one, candidates, 0)[1].tolist() for one in (own, unknown_user)]
    assert result[0] != result[1]


@pytest.mark.slow
@given(st.integers(0, 30), st.integers(0, 8))
def test_of_long_timelines_the_newest_events_are_looked_at(seed: int, events: int):
    random = np.random.default_rng(seed)
    rows = random.permutation(len(ITEMS))[:events]
    rating = random.integers(1, 11, events) / 2
    targets = gp_target(rating, rating >= 4.0)
    made, _ = expectation_of(seed)
    candidates = np.arange(len(ITEMS))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gaussian_process, "STRIDE", 2)
        long = made.posterior(FOLDS, rows, targets)
        along, after = long.before_each_event(), long.after_all_events(candidates)
    # Two events and fewer than four: what is further back is forgotten.
    first = [0, 0, 0, 0, 2, 2, 4, 4, 6][: events + 1]
    for place, start in enumerate(first):
        seen = made.posterior(FOLDS, rows[start:place], targets[start:place])
        result = seen.after_all_events(candidates)
        assert (along[place] if place < events else after) == pytest.approx(
            result[rows[place]] if place < events else result, abs=1e-9
        )


def test_similarities_use_a_sample_of_many_users():
    rows, targets, candidates = (
        np.array([1, 4, 0]),
        np.array([3.0, 0.5, 2.5]),
        np.arange(len(ITEMS)),
    )

    def result(most: int) -> list[float]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(item_similarity, "MAX_USERS", most)
            made, _ = expectation_of(3)
            return made.posterior(FOLDS, rows, targets).after_all_events(candidates).tolist()

    assert result(12) == result(10_000)
    assert result(6) != result(12)
    assert result(6) == result(6)
    # Item means use all users, however few are sampled for similarities.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(item_similarity, "MAX_USERS", 6)
        fewer, mean = expectation_of(3)
        nobody = np.array([], dtype=np.int64)
        assert (
            fewer.posterior(FOLDS, nobody, np.array([])).after_all_events(candidates).tolist()
            == mean.tolist()
        )


@pytest.mark.parametrize(
    ("step", "threshold", "disliked", "liked"),
    [(0.5, 4.0, 3.5, 4.0), (1.0, 4.0, 3.0, 4.0), (0.5, 3.7, 3.5, 4.0), (1.0, 3.5, 3.0, 4.0)],
)
def test_a_chance_is_even_between_the_last_dislike_and_the_first_like(
    step: float, threshold: float, disliked: float, liked: float
):
    rating = np.array([step, disliked, liked, 5.0])
    result = like_probability(
        gp_target(rating, rating >= threshold),
        PromptSettings(threshold=threshold, scale_min=step),
    )
    assert result[1] + result[2] == pytest.approx(1)
    assert 0 < result[0] < result[1] < 0.25
    assert 0.75 < result[2] < result[3] < 1


def test_a_wide_scale_is_shrunk_to_the_width_of_stars():
    settings = PromptSettings(threshold=7.0, scale_min=1.0, scale_max=10.0)
    rating = np.array([1.0, 6.0, 7.0, 10.0])
    targets = gp_target(rating * stars_per_unit(settings), rating >= 7.0)
    assert np.ptp(targets) == pytest.approx(5.0 / 2 + 1)
    result = like_probability(targets, settings)
    assert result[1] + result[2] == pytest.approx(1)
    assert 0 < result[0] < result[1] < 0.25


def test_likes_without_ratings_have_a_target_too():
    settings = PromptSettings(threshold=1.0, scale_min=0.0, scale_max=1.0, scale_step=1.0)
    rating = np.array([0.0, 1.0])
    targets = gp_target(rating * stars_per_unit(settings), rating >= 1.0)
    chances = like_probability(targets, settings)
    assert chances.sum() == pytest.approx(1)
    assert chances[0] < 0.25


def test_every_scale_begins_with_its_step():
    """So that settings which hold where a scale begins know how far stars are apart."""
    for layout in EDITIONS.values():
        assert layout.scale.min == layout.scale.step
