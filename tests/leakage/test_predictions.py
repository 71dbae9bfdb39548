"""Predictions of the wrong rows, and predictions only a leak can give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.data.invariants import EventTable
from reeltune.errors import DataError
from reeltune.evaluation.predictions import P_YES, PredictionTable, write_predictions
from reeltune.leakage.outcomes import Outcome, event_finding, row_finding
from reeltune.leakage.predictions import (
    FEWEST_ROWS,
    Parts,
    no_auc_is_too_good,
    predicted_once,
    predicted_rows_are_held_out,
    predictions_are_not_labels,
    probabilities_are_valid,
    read_parts,
)
from tests.errors import raises_error
from tests.leakage.plant import named
from tests.prepared_data import text_item


@pytest.fixture
def parts(many_events: EventTable) -> dict[str, PredictionTable]:
    """Sound predictions of two scorers on all held-out rows."""
    random, found = np.random.default_rng(0), {}
    for split in ("validation", "test"):
        event = np.flatnonzero(many_events.is_in(split))
        rows = PredictionTable.of_events(many_events.folder, split, event)
        for scorer in ("tuned", "base"):
            rows = rows.scored(scorer, random.random(len(rows)))
        found[split] = rows
    return found


def run_all(events: EventTable, parts: Parts, strays: int = 0) -> dict[str, Outcome]:
    outcomes = (
        predicted_rows_are_held_out(events, parts, strays),
        predicted_once(parts),
        probabilities_are_valid(parts),
        predictions_are_not_labels(parts),
        no_auc_is_too_good(parts),
    )
    return {outcome.check: outcome for outcome in outcomes}


def failed(events: EventTable, parts: Parts) -> dict[str, Outcome]:
    return {name: o for name, o in run_all(events, parts).items() if o.status == "failed"}


def test_predictions_have_ids_of_text(text_prepared: Path, tmp_path: Path):
    folder = PreparedFolder.open(text_prepared)
    events = EventTable.read(folder)
    rows = PredictionTable.of_events(folder, "test", np.flatnonzero(events.is_in("test")))
    rows = rows.scored("tuned", np.random.default_rng(0).random(len(rows)))
    path = tmp_path / "predictions.parquet"
    write_predictions(path, [rows], folder.user_ids, folder.item_ids)
    users, items = (pq.read_table(path)[name].to_pylist() for name in ("user_id", "item_id"))
    assert users == [folder.user_ids.id(key) for key in rows.user_id]
    assert items == [text_item(key) for key in rows.item_id]
    parts, _ = read_parts(path)
    assert failed(events, parts) == {}
    parts["test"].item_id[3] = "isbn"
    parts["test"].event[4] = len(events)
    found = failed(events, parts)["predicted rows"].offenders
    first, second = found.first
    assert (first.user_id, first.item_id, second.item_id) == (users[3], "isbn", items[4])
    assert text_item(rows.item_id[3]) in first.message
    finding = event_finding(events, int(rows.event[3]), "leaks")
    assert (finding.user_id, finding.item_id) == (users[3], items[3])
    assert row_finding(folder, "has no ids", -1, 10**9).item_id == 10**9


def row_of(rows: PredictionTable, row: int) -> tuple[int, int, int]:
    return int(rows.user_id[row]), int(rows.item_id[row]), int(rows.event[row])


def changed(rows: PredictionTable, row: int, **values: object) -> PredictionTable:
    """The rows with some values of one row changed."""
    columns = {name: getattr(rows, name).copy() for name in values}
    for name, value in values.items():
        columns[name][row] = value
    return replace(rows, **columns)


def with_score(rows: PredictionTable, row: int, p_yes: float) -> PredictionTable:
    predictions = rows.p_yes["tuned"].copy()
    predictions[row] = p_yes
    return replace(rows, p_yes={**rows.p_yes, "tuned": predictions})


def test_valid_predictions_pass(many_events: EventTable, parts: dict[str, PredictionTable]):
    statuses = {name: outcome.status for name, outcome in run_all(many_events, parts).items()}
    assert set(statuses.values()) == {"ok"}
    assert len(statuses) == 5


@pytest.mark.parametrize("split", ["train", "context", "validation"])
def test_a_row_of_another_split_is_named(
    many_events: EventTable, parts: dict[str, PredictionTable], split: str
):
    event = np.flatnonzero(many_events.is_in(split))[:1]
    other = PredictionTable.of_events(many_events.folder, split, event)
    values = {
        name: getattr(other, name)[0]
        for name in ("event", "user_id", "item_id", "position", "timestamp", "liked")
    }
    parts["test"] = changed(parts["test"], 9, **values)
    found = failed(many_events, parts)
    assert list(found) == ["predicted rows"]
    assert named(found["predicted rows"]) == [row_of(parts["test"], 9)]
    assert f"split {split}" in found["predicted rows"].offenders.first[0].message


@pytest.mark.parametrize("name", ["user_id", "item_id", "position", "timestamp", "liked"])
def test_value_different_from_the_event_is_named(
    many_events: EventTable, parts: dict[str, PredictionTable], name: str
):
    value = getattr(parts["test"], name)[4]
    other = not value if name == "liked" else value + 1
    parts["test"] = changed(parts["test"], 4, **{name: other})
    found = failed(many_events, parts)
    assert list(found) == ["predicted rows"]
    assert named(found["predicted rows"]) == [row_of(parts["test"], 4)]
    assert f"{name} {value}" in found["predicted rows"].offenders.first[0].message


@pytest.mark.parametrize("event", [-1, 10**6])
def test_an_event_that_does_not_exist_is_named(
    many_events: EventTable, parts: dict[str, PredictionTable], event: int
):
    parts["test"] = changed(parts["test"], 4, event=event)
    found = failed(many_events, parts)
    assert list(found) == ["predicted rows"]
    assert found["predicted rows"].offenders.first[0].event == event


def test_training_rows_are_not_predicted(
    many_events: EventTable, parts: dict[str, PredictionTable]
):
    event = np.flatnonzero(many_events.is_in("train"))[:3]
    parts["train"] = PredictionTable.of_events(many_events.folder, "train", event)
    found = failed(many_events, parts)
    assert list(found) == ["predicted rows"]
    assert found["predicted rows"].offenders.count == 3


def test_duplicate_row_is_named(many_events: EventTable, parts: dict[str, PredictionTable]):
    rows = parts["test"]
    twice = np.append(np.arange(len(rows)), 6)
    parts["test"] = replace(
        PredictionTable.of_events(many_events.folder, "test", rows.event[twice]),
        p_yes={name: p_yes[twice] for name, p_yes in rows.p_yes.items()},
    )
    found = failed(many_events, parts)
    assert list(found) == ["predicted once"]
    assert named(found["predicted once"]) == [row_of(rows, 6)]


def test_rows_of_no_split_are_counted(
    many_events: EventTable, parts: dict[str, PredictionTable], tmp_path: Path
):
    write_predictions(tmp_path / "predictions.parquet", list(parts.values()))
    assert read_parts(tmp_path / "predictions.parquet")[1] == 0
    event = np.flatnonzero(many_events.is_in("context"))[:4]
    context = replace(
        PredictionTable.of_events(many_events.folder, "context", event),
        p_yes={name: np.full(4, 0.5) for name in ("tuned", "base")},
    )
    write_predictions(tmp_path / "predictions.parquet", [*parts.values(), context])
    read, strays = read_parts(tmp_path / "predictions.parquet")
    (found,) = run_all(many_events, read, strays)["predicted rows"].offenders.first
    assert found.message.startswith("4 rows ")


@pytest.mark.parametrize("column", ["event", "split", f"{P_YES}tuned"])
def test_a_row_without_a_value_is_refused(
    parts: dict[str, PredictionTable], tmp_path: Path, column: str
):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, list(parts.values()))
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[2] = None
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, pa.array(values)), path)
    with raises_error(DataError, "missing_values", where=str(path), figures=["row 2", column]):
        read_parts(path)


@pytest.mark.parametrize("p_yes", [-0.01, 1.01, np.nan, np.inf])
def test_invalid_probability_is_named(
    many_events: EventTable, parts: dict[str, PredictionTable], p_yes: float
):
    parts["validation"] = with_score(parts["validation"], 8, p_yes)
    found = failed(many_events, parts)
    assert list(found) == ["probabilities"]
    assert named(found["probabilities"]) == [row_of(parts["validation"], 8)]
    assert found["probabilities"].offenders.first[0].message.split() == [
        "tuned",
        "gives",
        str(p_yes),
    ]


def test_rows_without_a_scorer_are_not_predictions(
    many_events: EventTable, parts: dict[str, PredictionTable]
):
    bare = {split: replace(rows, p_yes={}) for split, rows in parts.items()}
    assert list(failed(many_events, bare)) == ["probabilities"]


def test_a_scorer_that_gives_the_label_is_named(
    many_events: EventTable, parts: dict[str, PredictionTable]
):
    rows = parts["test"]
    parts["test"] = rows.scored("oracle", rows.liked.astype(np.float64))
    found = failed(many_events, parts)
    assert list(found) == ["predictions are not labels"]
    assert "oracle" in found["predictions are not labels"].offenders.first[0].message


def test_rows_of_one_label_are_not_flagged(
    many_events: EventTable, parts: dict[str, PredictionTable]
):
    rows = parts["test"]
    liked = rows.event[rows.liked]
    always_yes = PredictionTable.of_events(many_events.folder, "test", liked)
    parts["test"] = always_yes.scored("always", np.ones(len(liked)))
    assert failed(many_events, parts) == {}


def leaning(liked: np.ndarray, by: float) -> np.ndarray:
    """Predictions that lean to the label: at 0.6 the AUC is about 0.9."""
    return 0.5 * np.random.default_rng(1).random(len(liked)) + by * 0.5 * liked


@pytest.mark.parametrize(
    ("by", "is_flagged"), [(0.6, True), (0.3, False)], ids=["about 0.92", "about 0.75"]
)
def test_suspicious_auc_is_flagged(
    many_events: EventTable, parts: dict[str, PredictionTable], by: float, is_flagged: bool
):
    rows = parts["test"]
    parts["test"] = rows.scored("leaning", leaning(rows.liked, by))
    assert failed(many_events, parts) == {}  # it may be honest
    found = run_all(many_events, parts)["no AUC too good"]
    assert found.status == ("suspicious" if is_flagged else "ok")
    lines = list(found.lines())
    if is_flagged:
        assert len(lines) == 3
        assert lines[1].split()[0] == "leaning"
        assert "AUC of 0.9" in lines[1]
    else:
        assert len(lines) == 1


@pytest.mark.parametrize(
    "keep",
    [lambda rows: np.arange(FEWEST_ROWS - 1), lambda rows: np.flatnonzero(rows.liked)],
    ids=["few rows", "one label"],
)
def test_auc_of_few_rows_or_one_label_is_not_applicable(
    many_events: EventTable,
    parts: dict[str, PredictionTable],
    keep: Callable[[PredictionTable], np.ndarray],
):
    event = parts["test"].event[keep(parts["test"])]
    rows = PredictionTable.of_events(many_events.folder, "test", event)
    rows = rows.scored("leaning", leaning(rows.liked, 0.9))
    assert no_auc_is_too_good({"test": rows}).status == "not applicable"
