"""The text of items as features: by hand, and learned from training items alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reeltune.baselines import score
from reeltune.baselines.boosting import prompt_table
from reeltune.baselines.features import FEATURES, FeatureSource
from reeltune.baselines.item_text import COMPONENTS, fit_texts, text_vectors
from reeltune.baselines.problem import Problem
from reeltune.baselines.score import WITH_BOTH, WITH_TEXT, text_baselines
from reeltune.data.columns import TEST
from reeltune.data.tags import ItemTags, Tag
from reeltune.domain import SIGNALS
from reeltune.signals.item_statistics import assign_folds
from reeltune.signals.user_features import USER_PRIOR
from tests.baselines.problems import random_problem


def worded(problem: Problem, *texts: str) -> Problem:
    """The problem with these texts for its items, over and over."""
    items = [
        item._replace(text=(texts[row % len(texts)],)) for row, item in enumerate(problem.items)
    ]
    return replace(problem, items=items)


def vectors_of(problem: Problem) -> np.ndarray:
    """The vectors of the items' texts."""
    return text_vectors(problem, fit_texts(problem))[0]


def text_table(problem: Problem, event: np.ndarray) -> np.ndarray:
    """The numbers of texts, which come after the features."""
    return prompt_table(problem, event, (), item_text=True)[:, len(FEATURES) :]


def test_tags_have_columns_of_their_own_and_the_affinity_to_them():
    problem = random_problem(6)
    known, (first, second) = problem.timelines, problem.timelines.item_idx[:2].tolist()
    before = int(known.timestamp.min()) - 1
    given = sorted([Tag(first, before, "war"), Tag(second, before, "love")])
    problem = replace(problem, tags=ItemTags.of(given, len(problem.items)))
    table = text_table(problem, np.arange(len(known)))
    assert table.shape == (len(known), 1 + 2 + 1)  # the items have no text
    tagged = np.isin(known.item_idx, [first, second])
    assert [tuple(row) for row in table[:2, 1:3]] == [(0, 1), (1, 0)]
    assert table[tagged, 1:3].sum(axis=1) == pytest.approx(1)
    assert not table[~tagged, 1:].any()


def test_many_words_are_reduced_to_fewer_components():
    problem = random_problem(1, users=30, items=60)
    problem = worded(problem, *(f"word{row} war" for row in range(60)))
    vectors = vectors_of(problem)
    assert vectors.shape == (60, COMPONENTS)
    assert np.array_equal(vectors, vectors_of(problem))


def test_equal_texts_have_equal_vectors_and_texts_without_a_common_word_are_orthogonal():
    vectors = vectors_of(worded(random_problem(1), "war", "love", ""))
    assert vectors.shape == (14, 2)
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert vectors[:3] @ vectors[:3].T == pytest.approx(np.array(expected), abs=1e-9)
    assert vectors[3:6] == pytest.approx(vectors[:3])


def test_affinity_is_the_weighted_mean_of_earlier_texts():
    problem = worded(random_problem(2), "war", "love")
    known = problem.timelines
    lift = FeatureSource(problem, assign_folds(known, problem.seed)).events().lift
    affinity = text_table(problem, np.arange(len(known)))[:, -1]
    for event in range(len(known)):
        earlier = np.arange(event - known.position[event], event)
        same = earlier[known.item_idx[earlier] % 2 == known.item_idx[event] % 2]
        mean = lift[same].sum() / (len(earlier) + USER_PRIOR)
        assert affinity[event] == pytest.approx(mean, abs=1e-6)


def test_words_are_those_of_items_with_training_ratings():
    problem = random_problem(3, cold=2)  # the last two items are never trained on
    items = [item._replace(text=("war",)) for item in problem.items]
    items[-1] = items[-1]._replace(text=("war secret",))
    vectors = vectors_of(replace(problem, items=items))
    assert vectors.shape == (14, 1)
    assert vectors[-1] == pytest.approx(vectors[0])


def test_items_without_words_give_no_component():
    problem = random_problem(4)
    assert vectors_of(worded(problem, "", "a")).shape == (14, 0)
    assert text_table(problem, problem.test).shape == (len(problem.test), 1)
    (p_yes,) = (baseline(problem).test for baseline in text_baselines(()).values())
    assert p_yes.shape == problem.test.shape


def test_no_score_depends_on_later_ratings():
    problem = worded(random_problem(21, users=25), "war", "love", "war and love")
    known = problem.timelines
    last = np.flatnonzero(np.diff(known.user_id, append=-1))
    assert (known.split[last] == TEST).all()
    rating = known.rating.copy()
    rating[last] = 5.5 - rating[last]
    other = replace(problem, timelines=replace(known, rating=rating, liked=rating >= 4.0))
    baseline = text_baselines(())[WITH_TEXT]
    assert np.array_equal(baseline(problem).test, baseline(other).test)


@pytest.mark.parametrize(
    ("kinds", "name"), [((), WITH_TEXT), ((SIGNALS["recent"], SIGNALS["expected"]), WITH_BOTH)]
)
def test_trees_get_the_signals_of_the_prompt_as_well(kinds, name, monkeypatch: pytest.MonkeyPatch):
    shapes = []

    def record_shape(problem: Problem, features):
        shapes.append(features(problem, problem.test).shape)

    monkeypatch.setattr(score, "gradient_boosting", record_shape)
    problem = worded(random_problem(5), "war", "love")
    codes = np.zeros((len(problem.timelines), len(kinds)), dtype=np.int16)
    problem = replace(problem, timelines=replace(problem.timelines, context=codes))
    text_baselines(kinds)[name](problem)
    assert shapes == [(len(problem.test), len(FEATURES) + 3 + len(kinds))]
