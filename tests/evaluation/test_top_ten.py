"""Coverage, popularity, novelty and diversity of top tens: by hand, by law, against LensKit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lenskit.data import ItemList
from lenskit.metrics import Precision

from reeltune.data.columns import TEST
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Item
from reeltune.evaluation.breakdowns import training_events
from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.top_ten import diversity, highest, means, self_information
from reeltune.evaluation.top_ten import top_ten as measure
from reeltune.signals.user_features import genre_table
from tests.prepared_data import write_prepared


def genre_bits(genres) -> np.ndarray:
    items = [Item(n, "", None, tuple(names)) for n, names in enumerate(genres)]
    return np.packbits(genre_table(items), axis=1)


def test_highest_rows_of_four_and_ties():
    user = np.array([0, 0, 1, 1, 0, 1])
    p_yes = np.array([0.2, 0.9, 0.5, 0.5, 0.9, 0.1])
    assert highest(user, p_yes, np.array([0, 5, 4, 3, 2, 1]), 2).tolist() == [[4, 1], [3, 2]]


def test_self_information_of_four_items():
    assert self_information(np.array([0.0, 1, 2, 8]), 8).tolist() == [3, 3, 2, 0]


def test_diversity_of_four_items():
    bits = genre_bits([("Crime", "Drama"), ("Drama",), (), ("Comedy",)])
    # Crime|Drama and Drama share one of two; the item without genres is in no pair.
    assert diversity(bits[[[0, 1, 2, 3]]]).tolist() == pytest.approx([(0.5 + 1 + 1) / 3])
    assert diversity(bits[[[0, 0], [1, 3]]]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("genres", "expected"),
    [([(), ()], np.nan), ([("Drama",), ()], np.nan), ([tuple("abcdefghijk"), "jkl"], 1 - 2 / 12)],
)
def test_diversity_without_genres_and_with_more_than_eight(genres, expected):
    assert diversity(genre_bits(genres)[[[0, 1]]])[0] == pytest.approx(expected, nan_ok=True)


def test_means_of_two_users_and_their_lift():
    lists = {"popularity": np.array([30.0, 10.0]), "diversity": np.array([np.nan, 0.5])}
    found = means(lists, np.array([10.0, 10.0]), np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert found["popularity"].tolist() == [20, 30]
    assert found["popularity_lift"].tolist() == [1, 2]
    assert found["diversity"][0] == 0.5
    assert np.isnan(found["diversity"][1])  # only the user without a value was sampled
    unrated = means({"popularity": np.zeros(2)}, np.zeros(2), np.ones((1, 2)))
    assert np.isnan(unrated["popularity_lift"]).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> PreparedFolder:
    path = tmp_path_factory.mktemp("tops") / "prepared"
    return PreparedFolder.open(write_prepared(path, users=6, items=60, events=22))


@pytest.fixture(scope="module")
def rows(folder: PreparedFolder) -> PredictionTable:
    """All events of five users, ten of the sixth; two scorers."""
    known = folder.timelines
    event = np.flatnonzero((known.user_id < known.user_id.max()) | (known.position < 10))
    table = PredictionTable.of_events(folder, TEST, event)
    random = np.random.default_rng(1).random(len(table))
    return table.scored("random", random).scored("constant", np.full(len(table), 0.5))


def test_top_tens_are_measured_as_defined(folder, rows):
    measured, other = (measure(folder, rows, seed=seed, samples=50) for seed in (0, 1))
    assert measured is not None and other is not None
    known, item = folder.timelines, folder.timelines.item_idx[rows.event]
    learned = training_events(folder)
    ratings = np.bincount(known.item_idx[learned], minlength=len(folder.items))
    share = np.maximum(ratings, 1) / len(set(known.user_id[learned].tolist()))
    own = rows.user_id < rows.user_id.max()  # ten rows are not more than ten
    counts = (5, own.sum(), len(np.unique(rows.item_id[own])))
    assert (measured.users, measured.rows, measured.items) == counts
    lists, precision = [], []
    for user in np.unique(rows.user_id)[:5]:
        own = np.flatnonzero(rows.user_id == user)
        top = own[np.argsort(-rows.p_yes["random"][own])][:10]
        lists.append(item[top])
        ranking = ItemList(item_ids=rows.item_id[top], ordered=True)
        liked = ItemList(item_ids=rows.item_id[own[rows.liked[own]]])
        precision.append(Precision(10).measure_list(ranking, liked))
    expected = {
        "precision_at_10": np.mean(precision),
        "popularity": ratings[lists].mean(),
        "popularity_lift": ratings[lists].mean() / measured.all_rows["popularity"] - 1,
        "novelty": -np.log2(share[lists]).mean(),
        "diversity": diversity(genre_bits([i.genres for i in folder.items])[lists]).mean(),
    }
    for metric, interval in measured.metrics["random"].items():
        assert interval is not None and interval.users == 5 and interval.low < interval.high
        assert interval.value == pytest.approx(expected[metric])
    assert measured.coverage["random"] == pytest.approx(len(np.unique(lists)) / measured.items)
    # Only the order of equal scores depends on the seed.
    same = {n: other.coverage[n] == measured.coverage[n] for n in ("random", "constant")}
    assert same == {"random": True, "constant": False}


def test_no_user_with_more_than_ten_rows_or_no_genres(folder, rows):
    few = PredictionTable.of_events(folder, TEST, rows.event[rows.position < 10])
    assert measure(folder, few, seed=0) is None
    plain = replace(folder)
    vars(plain)["items"] = [item._replace(genres=()) for item in folder.items]
    found = measure(plain, rows, seed=0, samples=5)
    assert found is not None and found.metrics["random"]["diversity"] is None
