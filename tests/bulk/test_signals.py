"""Bulk predictions with signals equal those of the evaluation and use the past alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reeltune.bulk.input_table import InputRows
from reeltune.bulk.lookup import Lookup
from reeltune.data.columns import TEST, Columns
from reeltune.data.folder import PreparedFolder
from reeltune.domain import SIGNALS
from reeltune.scoring.predictor import Predictor
from reeltune.scoring.scorer import Scorer
from tests.bulk.build import Row, open_pairs, write_rows
from tests.prepared_data import sign
from tests.scoring.models import ROUNDING, random_loaded_model

SHOWN = 3


def signals_predictor(folder: PreparedFolder, model: Path) -> Predictor:
    """A predictor that shows fewer events than its signals use."""
    return Predictor(random_loaded_model(folder, model, signals=tuple(SIGNALS)), SHOWN)


@pytest.fixture(scope="module")
def predictor(prepared: PreparedFolder, tiny_qwen3: Path) -> Predictor:
    return signals_predictor(prepared, tiny_qwen3)


def scored(predictor: Predictor, events: np.ndarray, tmp_path: Path) -> np.ndarray:
    """P(Yes) of ratings, as ``score`` gives it to a table of them."""
    folder = predictor.loaded.folder
    users = folder.ratings.user_id[events].tolist()
    items = [folder.items[row].item_id for row in folder.ratings.item_idx[events]]
    rows = [Row(user, item) for user, item in zip(users, items, strict=True)]
    pairs = open_pairs(write_rows(tmp_path / "in.parquet", rows), Lookup(folder), len(rows))
    (table,) = list(pairs.slices([range(len(rows))]))
    assert len(InputRows.resolve(table, pairs.lookup).valid) == len(rows)
    return pairs.score(table, predictor, lambda _: None)["p_yes"].to_numpy()


@pytest.mark.slow
def test_a_held_out_rating_has_the_prediction_of_the_evaluation(
    predictor: Predictor, tmp_path: Path
):
    subject = predictor.loaded
    config = subject.config.model_copy(
        update={"scoring": subject.config.scoring.model_copy(update={"share_history": False})}
    )
    single = replace(subject, config=config)
    held_out = single.held_out(TEST, None)
    shown = held_out.rows.sequences
    expected = Scorer.checked(single, shown).score(shown).p_yes
    # Evaluation shows as many events as the data were prepared with.
    long = Predictor(subject, subject.folder.history_len)
    found = scored(long, held_out.event, tmp_path)
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


def with_other_rating(folder: PreparedFolder, events: np.ndarray, to: Path) -> PreparedFolder:
    """The same data with other ratings of these events."""
    shutil.copytree(folder.path, to)
    file = to / "timelines.parquet"
    table = pq.read_table(file)
    rating = table[Columns.RATING].to_numpy().copy()
    rating[events] = np.where(rating[events] >= 3, 0.5, 5.0)
    for name, values in ((Columns.RATING, rating), (Columns.LIKED, rating >= 4.0)):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, table[name].type))
    pq.write_table(table, file)
    sign(to)
    return PreparedFolder.open(to)


@pytest.mark.slow
@pytest.mark.parametrize("before", [0, 1, 6])
def test_no_prediction_depends_on_the_rating_it_predicts(
    predictor: Predictor, tiny_qwen3: Path, tmp_path: Path, before: int
):
    """With and without a history."""
    known = predictor.loaded.folder.ratings
    (event, *_) = np.flatnonzero(known.position == before)
    events = np.array([event])
    other = signals_predictor(
        with_other_rating(predictor.loaded.folder, events, tmp_path / "other"), tiny_qwen3
    )
    assert other.loaded.folder.ratings.rating[event] != known.rating[event]
    found = scored(other, events, tmp_path)
    np.testing.assert_allclose(found, scored(predictor, events, tmp_path), atol=ROUNDING)


@pytest.mark.slow
def test_signals_use_ratings_that_prompts_do_not_show(
    predictor: Predictor, tiny_qwen3, tmp_path: Path
):
    known = predictor.loaded.folder.ratings
    (event, *_) = np.flatnonzero(known.position == 12)
    early = np.arange(event - 12, event - SHOWN)
    other = signals_predictor(
        with_other_rating(predictor.loaded.folder, early, tmp_path / "other"), tiny_qwen3
    )
    events = np.array([event])
    assert not np.allclose(
        scored(other, events, tmp_path), scored(predictor, events, tmp_path), atol=1e-6
    )
