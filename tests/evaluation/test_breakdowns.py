"""Every row is in exactly one group of every breakdown, and a group is measured on its rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from reeltune.data.columns import TEST, TRAIN
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import SplitColumn
from reeltune.evaluation.breakdowns import (
    ITEM_RATINGS,
    LEAST_ROWS,
    USER_RATINGS,
    breakdowns,
    by_edges,
    by_quantile,
    cold_to_warm,
    groupings,
    training_events,
)
from reeltune.evaluation.predictions import PredictionTable
from tests.helpers import write_prepared

NAMES = [
    "history length",
    "film popularity",
    "film in training",
    "user in training",
    "activity of the user",
    "year of the film",
    "time of the rating",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> PreparedFolder:
    """Users with histories of very different length; items without training ratings."""
    path = tmp_path_factory.mktemp("broken down") / "prepared"
    written = write_prepared(path, users=9, items=90, events=22, min_history=2, history_len=4)
    return PreparedFolder.open(written)


@pytest.fixture(scope="module")
def predictions(folder: PreparedFolder) -> PredictionTable:
    rows = PredictionTable.of_events(folder, TEST, folder.examples(TEST).target)
    random = np.random.default_rng(0)
    for name in ("tuned", "baseline"):
        rows = rows.scored(name, random.random(len(rows)))
    return rows


def groups_of(
    folder: PreparedFolder, rows: PredictionTable, name: str
) -> list[tuple[str, list[int]]]:
    """Labels of one breakdown's groups, each with its rows."""
    (grouping,) = (grouping for grouping in groupings(folder, rows) if grouping.name == name)
    return [
        (label, np.flatnonzero(grouping.group == i).tolist())
        for i, label in enumerate(grouping.labels)
    ]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(2, 6))
def test_quantile_groups_contain_every_row_once(values: list[int], most: int):
    labels, group = by_quantile(np.array(values, dtype=np.int64), most)
    assert 1 <= len(labels) <= most
    assert set(group.tolist()) == set(range(len(labels)))
    contained = [np.unique(np.array(values)[group == i]).tolist() for i in range(len(labels))]
    assert [*chain(*contained)] == sorted(set(values))  # in order, and no value in two groups
    for label, own in zip(labels, contained, strict=True):
        assert label == (f"{own[0]} to {own[-1]}" if len(own) > 1 else str(own[0]))


def test_groups_are_about_equally_large():
    labels, group = by_quantile(np.arange(100)[::-1])
    assert labels == ["0 to 19", "20 to 39", "40 to 59", "60 to 79", "80 to 99"]
    assert np.bincount(group).tolist() == [20] * 5


def test_every_row_is_in_one_group_of_every_breakdown(folder, predictions):
    for grouping in groupings(folder, predictions):
        assert grouping.group.shape == predictions.event.shape
        assert 0 <= grouping.group.min() <= grouping.group.max() < len(grouping.labels)
        assert len(set(grouping.labels)) == len(grouping.labels)
    result = breakdowns(folder, predictions, "tuned", seed=0)
    assert [one.name for one in result] == NAMES
    for one in result:
        assert sum(group.rows for group in one.groups) == len(predictions)
        assert one.about.endswith(".")


def test_a_group_is_measured_on_its_own_rows(folder, predictions):
    result = {one.name: one.groups for one in breakdowns(folder, predictions, "tuned", seed=0)}
    measured = 0
    for name in NAMES:
        for group, (label, rows) in zip(
            result[name], groups_of(folder, predictions, name), strict=True
        ):
            liked = predictions.liked[rows]
            assert (group.label, group.rows) == (label, len(rows))
            assert group.users == len(set(predictions.user_id[rows].tolist()))
            assert group.positive_rate == (pytest.approx(liked.mean()) if rows else None)
            assert list(group.auc) == ["tuned", "baseline"]
            tuned, baseline, lead = *group.auc.values(), group.lead["baseline"]
            if tuned is not None and baseline is not None and lead is not None:
                assert lead.value == pytest.approx(tuned.value - baseline.value)
            for scorer, interval in group.auc.items():
                if len(set(liked.tolist())) < 2:
                    assert interval is None
                    continue
                expected = roc_auc_score(liked, predictions.p_yes[scorer][rows])
                assert interval is not None
                assert interval.value == pytest.approx(expected)
                measured += 1
    assert measured > 20


def test_activity_is_the_users_training_ratings_in_thirds_of_users(folder, predictions):
    learned = folder.timelines.user_id[training_events(folder)].tolist()
    groups = groups_of(folder, predictions, "activity of the user")
    counts = [{learned.count(user) for user in predictions.user_id[rows]} for _, rows in groups]
    flat = [*chain(*map(sorted, counts))]
    assert flat == sorted(set(flat)) and len(groups) == 3  # ascending, no count in two groups


def test_a_group_of_one_label_has_no_auc(folder, predictions):
    seen = predictions.position > np.median(predictions.position)
    rows = replace(predictions, liked=seen)
    (history, *_) = breakdowns(folder, rows, "tuned", seed=0)
    assert history.groups[0].auc == {"tuned": None, "baseline": None}
    assert (history.groups[0].positive_rate, history.groups[-1].positive_rate) == (0, 1)


def test_the_seed_determines_the_intervals(folder, predictions):
    result = [breakdowns(folder, predictions, "tuned", seed, samples=40) for seed in (1, 1, 2)]
    assert result[0] == result[1] != result[2]
    seen = result[0][2].groups[0].auc["tuned"]
    assert seen is not None
    assert seen.bootstrap_samples == 40


def test_training_events_are_candidates_and_histories(folder):
    examples, contained = folder.examples(TRAIN), set()
    for start, target in zip(examples.start.tolist(), examples.target.tolist(), strict=True):
        contained |= set(range(start, target + 1))
    assert np.flatnonzero(training_events(folder)).tolist() == sorted(contained)
    assert len(examples) < len(contained) < len(folder.timelines)


def test_popularity_counts_ratings_in_training_only(folder, predictions):
    items = folder.timelines.item_idx[training_events(folder)].tolist()
    ids = [folder.items[row].item_id for row in items]
    counted = [ids.count(item_id) for item_id in predictions.item_id.tolist()]
    for label, rows in groups_of(folder, predictions, "film popularity"):
        low, _, high = label.partition(" to ")
        own = [counted[row] for row in rows]
        assert (min(own), max(own)) == (int(low), int(high or low))
    (_, seen), (_, unseen) = groups_of(folder, predictions, "film in training")
    assert unseen == [row for row, count in enumerate(counted) if count == 0]
    assert seen
    assert unseen


def test_users_of_later_years_are_not_in_training(folder, predictions):
    (label, seen), (_, unseen) = groups_of(folder, predictions, "user in training")
    assert (label, len(seen), unseen) == ("seen", len(predictions), [])
    split = np.asarray(folder.timelines.split)
    late = predictions.user_id[-1]
    split[(folder.timelines.user_id == late) & (split == TRAIN)] = TEST
    altered = PreparedFolder(folder.path, folder.meta)
    altered.__dict__["ratings"] = replace(folder.ratings, split=SplitColumn.of(split))
    _, (label, unseen) = groups_of(altered, predictions, "user in training")
    assert label == "unseen"
    assert unseen == np.flatnonzero(predictions.user_id == late).tolist()


def test_films_without_a_year_are_a_group_of_their_own(folder, predictions):
    years = {item.item_id: item.year for item in folder.items}
    *known, (label, rows) = groups_of(folder, predictions, "year of the film")
    assert label == "unknown"
    assert rows == [i for i, item in enumerate(predictions.item_id.tolist()) if years[item] is None]
    assert rows
    for label, rows in known:
        low, high = map(int, label.split(" to "))
        assert all(low <= years[item] <= high for item in predictions.item_id[rows].tolist())


def test_quarters_of_the_time_are_equally_long(folder, predictions):
    day = 86_400
    first = 1_000_000_000 - 1_000_000_000 % day  # 2001-09-09
    days = np.array([0, 9, 10, 15, 25, 39, 30])
    event = predictions.event[: len(days)]
    rows = replace(PredictionTable.of_events(folder, TEST, event), timestamp=first + days * day)
    rows.timestamp[5] += day - 1
    assert groups_of(folder, rows, "time of the rating") == [
        ("1: 2001-09-09 to 2001-09-19", [0, 1]),
        ("2: 2001-09-19 to 2001-09-29", [2, 3]),
        ("3: 2001-09-29 to 2001-10-09", [4]),
        ("4: 2001-10-09 to 2001-10-19", [5, 6]),
    ]


def test_one_moment_is_one_quarter(folder, predictions):
    one = replace(predictions, timestamp=np.full(len(predictions), 10**9))
    sizes = [len(rows) for _, rows in groups_of(folder, one, "time of the rating")]
    assert sorted(sizes) == [0, 0, 0, len(predictions)]


def test_edges_begin_their_group():
    labels, group = by_edges(np.array([0, 1, 2, 4, 5, 19, 20, 999]), USER_RATINGS)
    assert labels == ["0", "1", "2 to 4", "5 to 9", "10 to 19", "20 and more"]
    assert group.tolist() == [0, 1, 2, 2, 3, 4, 5, 5]
    assert by_edges(np.array([2, 3, 10]), ITEM_RATINGS)[1].tolist() == [1, 2, 3]


def made_up(counts: list[int], seed: int = 0) -> PredictionTable:
    """As many rows as counted of users with 0, 1, 2, 5, 10 and 20 earlier ratings."""
    random = np.random.default_rng(seed)
    position = np.repeat(USER_RATINGS, counts)
    many = len(position)
    event = np.zeros(many, dtype=np.int64)
    table = PredictionTable(
        TEST, event, np.arange(many) % 13, event, position, event, random.random(many) < 0.5, {}
    )
    for name in ("tuned", "base", "item mean"):
        table = table.scored(name, random.random(many))
    return table


def test_groups_from_cold_to_warm_are_measured_for_every_scorer(folder: PreparedFolder):
    table = made_up([40, 0, LEAST_ROWS - 1, LEAST_ROWS, 0, 60])
    by_user, _ = cold_to_warm(folder, table, "tuned", seed=0, samples=20)
    sizes = {group.label: (group.rows, group.undefined) for group in by_user.groups}
    assert sizes == {
        "0": (40, ""),
        "1": (0, "no rows"),
        "2 to 4": (LEAST_ROWS - 1, f"fewer than {LEAST_ROWS} rows"),
        "5 to 9": (LEAST_ROWS, ""),
        "10 to 19": (0, "no rows"),
        "20 and more": (60, ""),
    }
    for group, first in zip(by_user.groups, USER_RATINGS, strict=True):
        rows = table.position == first
        for name, p_yes in table.p_yes.items():
            auc, loss, lead = (x.get(name) for x in (group.auc, group.log_loss, group.lead))
            if group.undefined:
                assert (auc, loss, lead) == (None, None, None)
                continue
            assert auc is not None and loss is not None
            assert auc.value == pytest.approx(roc_auc_score(table.liked[rows], p_yes[rows]))
            assert loss.value == pytest.approx(log_loss(table.liked[rows], p_yes[rows]))
            assert loss.low < loss.value < loss.high
            tuned = group.auc["tuned"]
            assert tuned is not None
            assert (lead is None) == (name == "tuned")
            assert lead is None or lead.value == pytest.approx(tuned.value - auc.value)


def test_a_group_of_one_label_says_so(folder: PreparedFolder):
    table = made_up([40, 40, 0, 0, 0, 0])
    same = replace(table, liked=table.liked | (table.position == 0))
    first, second, *_ = cold_to_warm(folder, same, "tuned", seed=0, samples=5)[0].groups
    assert (first.undefined, first.auc["tuned"]) == ("all rows have one label", None)
    assert not second.undefined and second.auc["tuned"] is not None


def test_items_are_grouped_by_their_training_ratings(folder, predictions):
    items = folder.timelines.item_idx[training_events(folder)].tolist()
    counts = [items.count(item) for item in folder.timelines.item_idx[predictions.event].tolist()]
    _, by_item = cold_to_warm(folder, predictions, "tuned", seed=0, samples=5)
    expected = [0, 0, 0, 0]
    for count in counts:
        expected[0 if count == 0 else 1 if count < 3 else 2 if count < 10 else 3] += 1
    assert [group.rows for group in by_item.groups] == expected
    assert sum(count > 0 for count in expected) > 1
