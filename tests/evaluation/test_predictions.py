import numpy as np
import pytest

from reeltune.errors import DataError
from reeltune.evaluation.predictions import PredictionTable, read_predictions, write_predictions
from tests.errors import raises_error


def some(prepared, split: str) -> PredictionTable:
    return PredictionTable.of_events(prepared, split, prepared.examples(split).target)


def test_rows_equal_their_events_in_the_timelines(prepared):
    rows = some(prepared, "test")
    timelines = prepared.timelines
    assert len(rows) == len(prepared.examples("test"))
    assert set(timelines.split[rows.event]) == {"test"}
    items = [prepared.items[row].item_id for row in timelines.item_idx[rows.event]]
    assert rows.item_id.tolist() == items
    assert rows.liked.tolist() == timelines.liked[rows.event].tolist()
    assert rows.p_yes == {}


def test_a_written_table_is_read_back(prepared, tmp_path):
    written = {}
    for split in ("validation", "test"):
        rows = some(prepared, split)
        chance = np.random.default_rng(0).random((2, len(rows)))
        written[split] = rows.scored("one", chance[0]).scored("tuned + one", chance[1])
    write_predictions(tmp_path / "predictions.parquet", list(written.values()))
    read = read_predictions(tmp_path / "predictions.parquet")
    assert list(read) == list(written)
    for split, rows in written.items():
        for name in ("event", "user_id", "item_id", "position", "timestamp", "liked"):
            np.testing.assert_array_equal(getattr(read[split], name), getattr(rows, name))
        assert list(read[split].p_yes) == ["one", "tuned + one"]
        for name, p_yes in rows.p_yes.items():
            np.testing.assert_array_equal(read[split].p_yes[name], p_yes)


@pytest.mark.parametrize("bad", [np.nan, -0.01, 1.01])
def test_values_that_are_not_probabilities_are_refused_with_scorer_and_row(prepared, bad):
    rows = some(prepared, "test")
    p_yes = np.full(len(rows), 0.5)
    p_yes[3] = bad
    with raises_error(DataError, "not_a_probability", where="scorer 'odd', row 3", figures=[bad]):
        rows.scored("odd", p_yes)


def test_too_few_predictions_are_refused(prepared):
    rows = some(prepared, "test")
    figures = [len(rows) - 1, len(rows)]
    with raises_error(DataError, "wrong_number_of_predictions", where="short", figures=figures):
        rows.scored("short", np.full(len(rows) - 1, 0.5))


def test_a_missing_file_names_the_command(tmp_path):
    with raises_error(DataError, "no_predictions", figures=["reeltune evaluate"]):
        read_predictions(tmp_path / "predictions.parquet")
