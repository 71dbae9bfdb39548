"""All baselines together: the same rows, nothing learned from what is judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reeltune.baselines.problem import make_problem
from reeltune.baselines.score import BASELINES, score_baselines
from reeltune.data.columns import CONTEXT, TEST, TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import SplitColumn
from reeltune.errors import DataError
from tests.baselines.problems import problem_of, random_problem
from tests.docs.pages import ROOT, table
from tests.errors import raises_error


def events(folder: PreparedFolder, split: str) -> np.ndarray:
    return np.flatnonzero(folder.timelines.split == split)


@pytest.fixture(scope="module")
def scored(prepared: PreparedFolder):
    told: list[str] = []
    scores = score_baselines(
        prepared,
        events(prepared, VALIDATION),
        events(prepared, TEST),
        seed=1,
        progress=told.append,
    )
    return scores, told


def test_every_baseline_answers_every_row(prepared: PreparedFolder, scored):
    scores, told = scored
    assert list(scores) == told == list(BASELINES)
    for one in scores.values():
        for p_yes, split in ((one.validation, VALIDATION), (one.test, TEST)):
            assert p_yes.dtype == np.float64
            assert p_yes.shape == events(prepared, split).shape
            assert ((p_yes >= 0) & (p_yes <= 1)).all()
        assert one.seconds > 0


def test_what_each_learned_from_is_said(prepared: PreparedFolder, scored):
    rows = len(events(prepared, TRAIN))
    ratings = rows + len(events(prepared, CONTEXT))
    learned = {name: one.learned_from for name, one in scored[0].items()}
    of_labels = {"majority", "logistic regression", "gradient boosting"}
    assert learned == {name: rows if name in of_labels else ratings for name in BASELINES}


def test_some_are_as_all_and_the_seed_decides(prepared: PreparedFolder, scored):
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
def test_no_answer_depends_on_stars_that_come_after_it(name: str):
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
def test_users_and_films_nobody_learned_from_get_an_answer(name: str):
    problem = random_problem(22, users=25)
    known = problem.timelines
    # As in a split by time: the last users come after training, and so do some films.
    new = (known.user_id > known.user_id[len(known) // 2]) & (known.split != CONTEXT)
    split = SplitColumn.of(np.where(new & (known.split == TRAIN), TEST, known.split))
    problem = problem_of(replace(known, split=split), list(problem.items))
    assert not np.isin(known.user_id[problem.test][-1], known.user_id[problem.train])
    answers = BASELINES[name](problem)
    for p_yes in (answers.validation, answers.test):
        assert ((p_yes > 0) & (p_yes < 1)).all()


@pytest.mark.slow
def test_no_rows_to_judge_give_no_answers(prepared: PreparedFolder):
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
def test_rows_that_would_leak_or_teach_nothing_are_refused(
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
