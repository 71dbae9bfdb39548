"""All baselines together, and those on the signals of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lenskit.knn import ItemKNNScorer

from reeltune.baselines.features import FEATURES, feature_table
from reeltune.baselines.lenskit_models import (
    FALLBACK_DAMPING,
    expected_by,
    ratings_for_lenskit,
)
from reeltune.baselines.problem import Problem, make_problem
from reeltune.baselines.score import (
    BASELINES,
    EXPECTED_ALONE,
    SIGNALS_ALONE,
    WITH_SIGNALS,
    expected_alone,
    score_baselines,
    signal_baselines,
    signal_table,
)
from reeltune.baselines.simple import bias_parts
from reeltune.data.columns import CONTEXT, TEST, TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.data.invariants import EventTable
from reeltune.data.timelines import SplitColumn
from reeltune.domain import SIGNALS
from reeltune.domain.context_lines import SHARE_STEPS
from reeltune.errors import DataError
from tests.baselines.problems import problem_of, random_problem
from tests.docs.pages import ROOT, table
from tests.errors import raises_error
from tests.helpers import write_prepared
from tests.leakage.plant import hold_out_items, hold_out_users


def events(folder: PreparedFolder, split: str) -> np.ndarray:
    return np.flatnonzero(folder.timelines.split == split)


@pytest.fixture(scope="module")
def scored(prepared: PreparedFolder):
    reported: list[str] = []
    scores = score_baselines(
        prepared,
        events(prepared, VALIDATION),
        events(prepared, TEST),
        seed=1,
        progress=reported.append,
    )
    return scores, reported


@pytest.mark.slow
def test_every_baseline_scores_every_row(prepared: PreparedFolder, scored):
    scores, reported = scored
    assert list(scores) == reported == list(BASELINES)
    for one in scores.values():
        for p_yes, split in ((one.validation, VALIDATION), (one.test, TEST)):
            assert p_yes.dtype == np.float64
            assert p_yes.shape == events(prepared, split).shape
            assert ((p_yes >= 0) & (p_yes <= 1)).all()
        assert one.seconds > 0


def test_learned_from_counts_rows_or_ratings(prepared: PreparedFolder, scored):
    rows = len(events(prepared, TRAIN))
    ratings = rows + len(events(prepared, CONTEXT))
    learned = {name: one.learned_from for name, one in scored[0].items()}
    of_labels = {"majority", "logistic regression", "gradient boosting", "sequence model"}
    assert learned == {name: rows if name in of_labels else ratings for name in BASELINES}


def test_a_subset_of_baselines_gives_equal_scores(prepared: PreparedFolder, scored):
    some = score_baselines(
        prepared,
        events(prepared, VALIDATION),
        events(prepared, TEST),
        seed=1,
        baselines={name: BASELINES[name] for name in ("gradient boosting", "item mean")},
    )
    assert list(some) == ["gradient boosting", "item mean"]
    before = scored[0]
    for name, one in some.items():
        assert np.array_equal(one.test, before[name].test)
        assert np.array_equal(one.validation, before[name].validation)
        assert one.settings == before[name].settings


def test_fewer_training_rows_are_respected(prepared: PreparedFolder):
    first_user = prepared.timelines.user_id == prepared.timelines.user_id[0]
    rows = events(prepared, TRAIN)
    rows = rows[first_user[rows]][:4]
    problem = make_problem(
        prepared, events(prepared, VALIDATION), events(prepared, TEST), seed=1, train_event=rows
    )
    context = np.flatnonzero(first_user & (prepared.timelines.split == CONTEXT))
    assert problem.train.tolist() == rows.tolist()
    assert problem.ratings.tolist() == [*context, *rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_no_score_depends_on_later_ratings(name: str):
    problem = random_problem(21, users=25)
    known = problem.timelines
    last = np.flatnonzero(np.diff(known.user_id, append=-1))
    assert (known.split[last] == TEST).all()
    rating = known.rating.copy()
    rating[last] = 5.5 - rating[last]
    other = replace(problem, timelines=replace(known, rating=rating, liked=rating >= 4.0))
    before, after = BASELINES[name](problem), BASELINES[name](other)
    assert np.array_equal(before.validation, after.validation)
    assert np.array_equal(before.test, after.test)


@pytest.mark.parametrize("name", BASELINES)
def test_unknown_users_and_items_get_a_score(name: str):
    problem = random_problem(22, users=25)
    known = problem.timelines
    # As in a split by time: the last users come after training, and so do some films.
    new = (known.user_id > known.user_id[len(known) // 2]) & (known.split != CONTEXT)
    split = SplitColumn.of(np.where(new & (known.split == TRAIN), TEST, known.split))
    problem = problem_of(replace(known, split=split), list(problem.items))
    assert not np.isin(known.user_id[problem.test][-1], known.user_id[problem.train])
    scores = BASELINES[name](problem)
    for p_yes in (scores.validation, scores.test):
        assert ((p_yes > 0) & (p_yes < 1)).all()


@pytest.mark.slow
def test_no_rows_give_no_scores(prepared: PreparedFolder):
    none = np.empty(0, dtype=np.int64)
    for one in score_baselines(prepared, events(prepared, VALIDATION), none, seed=1).values():
        assert one.test.shape == (0,)
        assert len(one.validation)


@pytest.mark.parametrize(
    ("train", "validation", "test", "code", "named"),
    [
        (TEST, VALIDATION, TEST, "wrong_split_for_baselines", ["'test'", TRAIN]),
        (TRAIN, TEST, TEST, "wrong_split_for_baselines", ["'test'", VALIDATION]),
        (TRAIN, VALIDATION, TRAIN, "wrong_split_for_baselines", ["'train'", TEST]),
        (TRAIN, None, TEST, "no_rows_for_baselines", [VALIDATION]),
        (None, VALIDATION, TEST, "no_rows_for_baselines", [TRAIN]),
    ],
)
def test_rows_of_the_wrong_split_and_missing_rows_are_refused(
    prepared: PreparedFolder, train, validation, test, code: str, named: list[str]
):
    none = np.empty(0, dtype=np.int64)
    rows = [none if split is None else events(prepared, split) for split in (train, validation)]
    with raises_error(DataError, code, where=str(prepared.path), figures=named):
        make_problem(prepared, rows[1], events(prepared, test), seed=1, train_event=rows[0])


def test_training_rows_of_one_label_are_refused(prepared: PreparedFolder):
    rows = events(prepared, TRAIN)
    rows = rows[prepared.timelines.liked[rows]]
    with raises_error(DataError, "one_training_label", figures=["--rating-threshold"]):
        make_problem(prepared, events(prepared, VALIDATION), rows[:0], seed=1, train_event=rows)


def test_the_page_explains_every_baseline():
    rows = table(ROOT / "docs" / "EVALUATION.md", "Baseline")
    assert [name for name, *_ in rows] == list(BASELINES)


KINDS = (SIGNALS["recent"], SIGNALS["expected"])


def signal_problem(seed: int, strength: float = 30.0) -> Problem:
    """A problem whose signals correlate with the labels; its items do not."""
    problem = random_problem(seed, users=12)
    random, known = np.random.default_rng(seed), problem.timelines
    expected = np.clip(
        50 + strength * (2 * known.liked - 1) + random.normal(0, 15, len(known)), 0, 100
    )
    codes = np.column_stack([random.integers(0, SHARE_STEPS, len(known)), expected])
    return replace(problem, timelines=replace(known, context=codes.astype(np.int16)))


def auc(problem: Problem, p_yes: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(problem.liked(problem.test), p_yes))


@pytest.mark.parametrize("name", [EXPECTED_ALONE, SIGNALS_ALONE, WITH_SIGNALS])
def test_scores_follow_the_signals_and_not_the_test_labels(name: str):
    problem = signal_problem(1)
    baseline = signal_baselines(KINDS)[name]
    scores = baseline(problem)
    assert scores.test.shape == problem.test.shape
    assert ((scores.test > 0) & (scores.test < 1)).all()
    assert auc(problem, scores.test) > 0.8
    known = problem.timelines
    swapped = np.where(known.split == TEST, ~known.liked, known.liked)
    again = baseline(replace(problem, timelines=replace(known, liked=swapped)))
    assert again.test.tolist() == scores.test.tolist()


def test_expected_alone_is_the_probability_in_the_prompt():
    problem = signal_problem(2)
    problem.timelines.context[:, 1] = 62  # type: ignore[index]
    problem.timelines.context[problem.test[0], 1] = 100  # type: ignore[index]
    scores = expected_alone(problem, column=1)
    assert scores.validation == pytest.approx(0.62)
    assert scores.test[0] == pytest.approx(0.995)
    assert scores.test[1:] == pytest.approx(0.62)
    assert scores.learned_from == len(problem.ratings)


def test_settings_are_chosen_on_validation_rows():
    problem = signal_problem(3)
    scores = signal_baselines(KINDS)[SIGNALS_ALONE](problem)
    assert scores.learned_from == (problem.timelines.split == TRAIN).sum()
    assert set(scores.settings) == {"C"}
    assert len(scores.validation) == (problem.timelines.split == VALIDATION).sum()


def test_trees_get_features_and_signals(monkeypatch: pytest.MonkeyPatch):
    shapes = []

    def record_shape(problem: Problem, features):
        shapes.append(features(problem, problem.test).shape)

    monkeypatch.setattr("reeltune.baselines.score.gradient_boosting", record_shape)
    problem = signal_problem(4)
    signal_baselines(KINDS)[WITH_SIGNALS](problem)
    assert shapes == [(len(problem.test), len(FEATURES) + 2)]
    assert np.isfinite(feature_table(problem, problem.test)).all()


def test_only_prompts_with_signals_have_these_baselines():
    assert signal_baselines(()) == {}
    assert list(signal_baselines((SIGNALS["item"], SIGNALS["recent"]))) == [
        SIGNALS_ALONE,
        WITH_SIGNALS,
    ]
    with pytest.raises(ValueError):
        signal_table(random_problem(1), np.array([0]), KINDS)


def test_codes_become_log_odds_and_counts():
    problem = random_problem(1)
    codes = np.zeros((len(problem.timelines), 2), dtype=np.int16)
    codes[:3, 0] = [3 * SHARE_STEPS + 7, 3 * SHARE_STEPS, SHARE_STEPS - 1]
    codes[:3, 1] = [50, 75, 0]
    problem = replace(problem, timelines=replace(problem.timelines, context=codes))
    kinds = (SIGNALS["item"], SIGNALS["expected"])
    film_odds, count, expected_odds = signal_table(problem, np.arange(3), kinds).T
    assert count.tolist() == [3, 3, 0]
    assert film_odds == pytest.approx([np.log(7 / 13), np.log(0.5 / 19.5), np.log(19.5 / 0.5)])
    assert expected_odds == pytest.approx([0, np.log(3), np.log(0.5 / 99.5)])


def test_the_page_explains_each_signal_baseline():
    rows = table(ROOT / "docs" / "EVALUATION.md", "With the prompt's signals")
    assert [name for name, *_ in rows] == list(signal_baselines(KINDS))


@pytest.mark.slow
@pytest.mark.parametrize("hold_out", [hold_out_items, hold_out_users])
def test_nothing_held_out_changes_what_baselines_learn(
    tmp_path: Path, hold_out: Callable[[Path], None]
):
    """Held-out ratings of other users never change a prediction, and every row has one."""
    hold_out(write_prepared(tmp_path / "prepared", users=20, items=60))
    folder = PreparedFolder.open(tmp_path / "prepared", verify=False)
    user, target = folder.timelines.user_id, events(folder, TEST)[:1]
    # Settings are chosen on validation rows, which have their users' earlier ratings.
    seen = np.isin(user, [user[target[0]], *user[events(folder, VALIDATION)]])
    other = EventTable.read(folder).held_out & ~seen
    altered = PreparedFolder(folder.path, folder.meta)
    rating = np.where(other, 5.5 - folder.timelines.rating, folder.timelines.rating)
    changed = replace(
        folder.timelines, rating=rating.astype(np.float32), liked=folder.timelines.liked ^ other
    )
    altered.__dict__["ratings"] = changed
    assert other.sum() > 10
    first, second = (
        score_baselines(each, events(folder, VALIDATION), target, seed=1)
        for each in (folder, altered)
    )
    for name, scores in first.items():
        assert 0 < scores.test[0] < 1, name
        assert scores.test == pytest.approx(second[name].test, abs=1e-12), name


@pytest.mark.slow
def test_the_bias_model_answers_for_items_that_nobody_has_rated(tmp_path: Path):
    hold_out_items(write_prepared(tmp_path / "prepared", users=20, items=60))
    folder = PreparedFolder.open(tmp_path / "prepared", verify=False)
    test = events(folder, TEST)
    problem = make_problem(folder, events(folder, VALIDATION), test, seed=1)
    known = folder.timelines.item_idx[problem.ratings]
    assert not np.isin(folder.timelines.item_idx[test], known).any()
    model = ItemKNNScorer()
    model.train(ratings_for_lenskit(problem))
    bias = bias_parts(problem, FALLBACK_DAMPING).expected(FALLBACK_DAMPING, test)
    assert expected_by(model, problem, test) == pytest.approx(bias)
