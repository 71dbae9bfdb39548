"""The scorers that know what the prompt tells, and no language model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reeltune.baselines.features import FEATURES, feature_table
from reeltune.baselines.problem import Problem
from reeltune.baselines.score import (
    EXPECTED_ALONE,
    SIGNALS_ALONE,
    WITH_SIGNALS,
    expected_alone,
    signal_baselines,
    signal_table,
)
from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.domain import SIGNALS
from reeltune.domain.context_lines import SHARE_STEPS
from tests.baselines.problems import random_problem
from tests.docs.pages import ROOT, table

KINDS = (SIGNALS["recent"], SIGNALS["expected"])


def told(seed: int, knows: float = 30.0) -> Problem:
    """A problem whose signals knows the labels more or less; its films say nothing."""
    problem = random_problem(seed, users=12)
    random, known = np.random.default_rng(seed), problem.timelines
    expected = np.clip(
        50 + knows * (2 * known.liked - 1) + random.normal(0, 15, len(known)), 0, 100
    )
    codes = np.column_stack([random.integers(0, SHARE_STEPS, len(known)), expected])
    return replace(problem, timelines=replace(known, context=codes.astype(np.int16)))


def auc(problem: Problem, p_yes: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(problem.liked(problem.test), p_yes))


@pytest.mark.parametrize("name", [EXPECTED_ALONE, SIGNALS_ALONE, WITH_SIGNALS])
def test_they_follow_the_evidence_and_learn_from_no_row_they_judge(name: str):
    problem = told(1)
    ask = signal_baselines(KINDS)[name]
    found = ask(problem)
    assert found.test.shape == problem.test.shape
    assert ((found.test > 0) & (found.test < 1)).all()
    assert auc(problem, found.test) > 0.8
    known = problem.timelines
    swapped = np.where(known.split == TEST, ~known.liked, known.liked)
    again = ask(replace(problem, timelines=replace(known, liked=swapped)))
    assert again.test.tolist() == found.test.tolist()


def test_the_expected_chance_is_told_as_the_prompt_tells_it():
    problem = told(2)
    problem.timelines.context[:, 1] = 62  # type: ignore[index]
    problem.timelines.context[problem.test[0], 1] = 100  # type: ignore[index]
    found = expected_alone(problem, column=1)
    assert found.validation == pytest.approx(0.62)
    assert found.test[0] == pytest.approx(0.995)
    assert found.test[1:] == pytest.approx(0.62)
    assert found.learned_from == len(problem.ratings)


def test_what_is_chosen_is_chosen_on_validation_rows():
    problem = told(3)
    found = signal_baselines(KINDS)[SIGNALS_ALONE](problem)
    assert found.learned_from == (problem.timelines.split == TRAIN).sum()
    assert set(found.settings) == {"C"}
    assert len(found.validation) == (problem.timelines.split == VALIDATION).sum()


def test_trees_see_the_features_and_the_evidence(monkeypatch: pytest.MonkeyPatch):
    shapes = []

    def seen(problem: Problem, features):
        shapes.append(features(problem, problem.test).shape)

    monkeypatch.setattr("reeltune.baselines.score.gradient_boosting", seen)
    problem = told(4)
    signal_baselines(KINDS)[WITH_SIGNALS](problem)
    assert shapes == [(len(problem.test), len(FEATURES) + 2)]
    assert np.isfinite(feature_table(problem, problem.test)).all()


def test_without_evidence_there_is_none_and_without_a_chance_it_is_not_told_alone():
    assert signal_baselines(()) == {}
    assert list(signal_baselines((SIGNALS["film"], SIGNALS["recent"]))) == [
        SIGNALS_ALONE,
        WITH_SIGNALS,
    ]
    with pytest.raises(ValueError):
        signal_table(random_problem(1), np.array([0]), KINDS)


def test_entries_become_log_odds_and_counts():
    problem = random_problem(1)
    codes = np.zeros((len(problem.timelines), 2), dtype=np.int16)
    codes[:3, 0] = [3 * SHARE_STEPS + 7, 3 * SHARE_STEPS, SHARE_STEPS - 1]
    codes[:3, 1] = [50, 75, 0]
    problem = replace(problem, timelines=replace(problem.timelines, context=codes))
    kinds = (SIGNALS["film"], SIGNALS["expected"])
    film_odds, count, expected_odds = signal_table(problem, np.arange(3), kinds).T
    assert count.tolist() == [3, 3, 0]
    assert film_odds == pytest.approx([np.log(7 / 13), np.log(0.5 / 19.5), np.log(19.5 / 0.5)])
    assert expected_odds == pytest.approx([0, np.log(3), np.log(0.5 / 99.5)])


def test_the_page_explains_each():
    rows = table(ROOT / "docs" / "EVALUATION.md", "With the prompt's signals")
    assert [name for name, *_ in rows] == list(signal_baselines(KINDS))
