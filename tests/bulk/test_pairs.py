"""Every row once, in order, with the prediction it would have alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reeltune.bulk.input_table import InputRows
from reeltune.bulk.tasks import shared_queries
from reeltune.data.columns import YEAR_2100
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import NOW
from reeltune.scoring.predictor import Predictor, Query
from tests.bulk.build import Row, open_pairs, output_rows, p_yes_alone, parts, write_rows

# The fixture that lends the model changes nothing from one table to the next.
few = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


def drawn_rows(draw: st.DataObject, folder: PreparedFolder) -> tuple[list[Row], bool]:
    """Any rows of known users and films, some of them twice, with times around those of events."""
    users = sorted(set(folder.timelines.user_id.tolist()))[:4]
    items = [item.item_id for item in folder.items]
    event = st.sampled_from(folder.timelines.timestamp.tolist())
    anywhere = st.sampled_from([0, -(2**63), YEAR_2100 - 1])
    timed = draw.draw(st.booleans())
    time = st.one_of(event, event.map(lambda at: at + 1), anywhere) if timed else st.none()
    row = st.builds(Row, st.sampled_from(users), st.sampled_from(items), time)
    rows = draw.draw(st.lists(row, max_size=14))
    again = draw.draw(st.lists(st.sampled_from(rows), max_size=4)) if rows else []
    return [*rows, *again], timed


@pytest.mark.slow
@few
@given(data=st.data())
def test_every_row_has_the_prediction_of_that_row_alone(bench, predictor: Predictor, data):
    rows, timed = drawn_rows(data, predictor.loaded.folder)
    per_shard = data.draw(st.integers(1, 7))
    with tempfile.TemporaryDirectory() as work:
        table, out = Path(work) / "in.parquet", Path(work) / "out"
        write_rows(table, rows, timed, row_group_size=data.draw(st.integers(1, 5)))
        record = bench.score(table, out, rows_per_shard=per_shard).record
        found = output_rows(out)
        sizes = [pq.read_metadata(part).num_rows for part in parts(out)]
    whole, rest = divmod(len(rows), per_shard)
    assert sizes == [per_shard] * whole + [rest] * (rest > 0 or not rows)
    assert [(one["user_id"], one["item_id"]) for one in found] == [(r.user, r.item) for r in rows]
    assert [one.get("timestamp") for one in found] == [row.time for row in rows]
    expected = [p_yes_alone(predictor, row) for row in rows]
    np.testing.assert_allclose([one["p_yes"] for one in found], expected, atol=1e-6)
    assert record["rows"] == record["scored"] == len(rows)


def test_rows_of_one_history_share_a_query(lookup, predictor, tmp_path, monkeypatch):
    """Two films nobody has rated share a history; one that was rated has its own."""
    folder = predictor.loaded.folder
    user = int(folder.timelines.user_id[0])
    rated = [folder.items[row].item_id for row in lookup.rated(0)]
    others = [item.item_id for item in folder.items if item.item_id not in rated][:2]
    rows = [Row(user, others[0]), Row(user, rated[3]), Row(user, others[1]), Row(user, others[0])]
    queries: list[Query] = []
    predictions = predictor.predict

    def listening(batch, **options):
        queries.extend(batch)
        return predictions(batch, **options)

    monkeypatch.setattr(predictor, "predict", listening)
    pairs = open_pairs(write_rows(tmp_path / "in.parquet", rows), lookup, 10)
    pairs.score(next(pairs.slices([range(4)])), predictor, lambda _: None)
    assert sorted(len(query.candidates) for query in queries) == [1, 3]
    assert all(len(query.history) <= predictor.history_len for query in queries)


def test_the_end_of_a_timeline_is_not_the_start_of_the_next(bench, predictor, lookup, tmp_path):
    """Both are the same event index."""
    folder = predictor.loaded.folder
    rated = {folder.items[row].item_id for user in (0, 1) for row in lookup.rated(user)}
    item = next(item.item_id for item in folder.items if item.item_id not in rated)
    first, second = lookup.user_ids[:2].tolist()
    rows = [Row(first, item, YEAR_2100 - 1), Row(second, item, 0)]
    bench.score(write_rows(tmp_path / "in.parquet", rows, timed=True), tmp_path / "out")
    found = [row["p_yes"] for row in output_rows(tmp_path / "out")]
    np.testing.assert_allclose(found, [p_yes_alone(predictor, row) for row in rows], atol=1e-6)


def test_ids_and_times_are_kept_as_given(bench, predictor, tmp_path):
    """MovieLens' own names, small integers and parquet times are read; other columns are not."""
    timelines = predictor.loaded.folder.timelines
    event = 7
    when = int(timelines.timestamp[event])
    table = pa.table(
        {
            "comment": ["a", "b", "c"],
            "movieId": pa.array([1, 1, 1], pa.int16()),
            "userId": pa.array([1, 1, 1], pa.uint32()),
            # Half a second after an event, at it, and half a second before it.
            "timestamp": pa.array(
                [1000 * when + 500, 1000 * when, 1000 * when - 500], pa.timestamp("ms", tz="UTC")
            ),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    bench.score(tmp_path / "in.parquet", tmp_path / "out")
    found = pq.read_table(parts(tmp_path / "out")[0])
    assert found.column_names == ["user_id", "item_id", "timestamp", "p_yes"]
    assert found.schema.field("p_yes").type == pa.float64()
    assert found["timestamp"].to_pylist() == table["timestamp"].to_pylist()
    seconds = [when + 1, when, when]
    expected = [p_yes_alone(predictor, Row(1, 1, time)) for time in seconds]
    np.testing.assert_allclose(found["p_yes"].to_numpy(), expected, atol=1e-6)


def test_the_rows_own_rating_is_not_in_its_history(predictor, lookup):
    """Even if a later time is given."""
    timelines = predictor.loaded.folder.timelines
    users = np.zeros(len(lookup.rated(0)), dtype=np.int64)
    items = lookup.rated(0).astype(np.int64)
    late = np.full(len(items), int(timelines.timestamp.max()) + 10)
    assert lookup.history_ends(users, items).tolist() == list(range(len(items)))
    assert lookup.history_ends(users, items, late).tolist() == list(range(len(items)))
    first = np.full(len(items), int(timelines.timestamp[0]))
    assert lookup.history_ends(users, items, first).tolist() == [0] * len(items)


def test_a_row_is_predicted_at_its_time_or_at_the_first_rating_left_out(predictor, lookup):
    times = predictor.loaded.folder.timelines.timestamp
    user, end = np.array([0, 0, 0, 0]), np.array([3, lookup.end(0), 3, lookup.end(0)])
    last = int(times[lookup.end(0) - 1])
    assert lookup.moments(user, end).tolist() == [times[3], NOW, times[3], NOW]
    before = np.array([times[3] - 1, last + 5, times[3] + 1, 7])
    assert lookup.moments(user, end, before).tolist() == [times[3] - 1, last + 5, times[3], 7]
    everyone = np.arange(len(lookup.user_ids))
    ends = np.array([lookup.end(one) for one in everyone])
    assert set(lookup.moments(everyone, ends).tolist()) == {NOW}


def test_rows_that_share_a_history_keep_their_times(lookup):
    user, item = np.zeros(3, dtype=np.int64), np.repeat(lookup.rated(0)[4], 3).astype(np.int64)
    before, fault = np.array([6, 2**40, 5]), np.full(3, -1, dtype=np.int8)
    groups, queries = shared_queries(InputRows(user, item, before, fault, ()), lookup, 9)
    (rated,) = lookup.moments(user[:1], lookup.history_ends(user[:1], item[:1]))
    assert [group.tolist() for group in groups] == [[0, 2], [1]]
    assert [query.asked_at.tolist() for query in queries] == [[6, 5], [rated]]
