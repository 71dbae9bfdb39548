"""Each fault of the prepared data is found by its own check, which names the planted row."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reeltune.data.invariants import NOT_FOUND, EventTable
from reeltune.errors import DataError
from reeltune.leakage.outcomes import SHOWN
from reeltune.leakage.suite import find_target, run_checks
from tests.errors import raises_error
from tests.leakage.plant import (
    DIVIDE,
    TIMELINES,
    Rows,
    cut_in_time,
    failing,
    hold_out_items,
    hold_out_users,
    named,
    read_events,
    row_of,
    write_events,
)

SPLITS = ("train", "validation", "test")

WITHOUT_DATA = {
    "the run's data",
    "training rows",
    "cached training rows",
    "predicted rows",
    "tags from the past",
    "auxiliary ratings",
    "predicted once",
    "probabilities",
    "predictions are not labels",
    "no AUC too good",
}
"""Checks that have nothing to look at in a prepared folder."""


@pytest.mark.parametrize("split", DIVIDE)
def test_valid_data_pass_every_check(folder: Path, split: str):
    DIVIDE[split](folder)
    outcomes = list(run_checks(find_target(folder)))
    ok = {outcome.check for outcome in outcomes if outcome.status == "ok"}
    idle = {outcome.check for outcome in outcomes if outcome.status == "not applicable"}
    assert idle == WITHOUT_DATA
    assert len(ok) == len(outcomes) - len(idle) == 14


def first(rows: Rows, wanted: Callable[[int], bool]) -> int:
    """The first event after another one of its user for which something holds."""
    return next(i for i in range(1, len(rows)) if rows[i]["position"] and wanted(i))


def item_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("item_id", "item_idx")}


def go_back_in_time(rows: Rows) -> int:
    event = first(rows, lambda i: rows[i + 1]["position"] == 0)
    rows[event]["timestamp"] = rows[event - 1]["timestamp"] - 1
    return event


def swap_items_of_one_second(rows: Rows) -> int:
    event = first(rows, lambda i: rows[i]["timestamp"] == rows[i - 1]["timestamp"])
    former, latter = item_of(rows[event - 1]), item_of(rows[event])
    rows[event - 1] |= latter
    rows[event] |= former
    return event


def put_a_user_in_front(rows: Rows) -> int:
    last = [row for row in rows if row["user_id"] == rows[-1]["user_id"]]
    rows[:] = last + rows[: -len(last)]
    return len(last)


def miscount(rows: Rows) -> int:
    rows[7]["position"] = 9
    return 7


def predict_an_item_of_the_history(rows: Rows) -> int:
    """A candidate whose film the user rated before; no other event is in either second."""
    times = [(row["user_id"], row["timestamp"]) for row in rows]
    event = first(rows, lambda i: rows[i]["split"] == "test" and times.count(times[i]) == 1)
    rows[event] |= item_of(rows[event - rows[event]["position"]])
    return event


def point_at_another_item(rows: Rows) -> int:
    rows[20]["item_idx"] = (rows[20]["item_idx"] + 1) % 60
    return 20


def point_at_no_item(rows: Rows) -> int:
    rows[20]["item_idx"] = 60
    return 20


def put_in_no_split(rows: Rows) -> int:
    event = first(rows, lambda i: rows[i]["split"] == "train")
    rows[event]["split"] = "trial"
    return event


def set_split(rows: Rows, event: int, split: str) -> int:
    rows[event]["split"] = split
    return event


def context_after_an_example(rows: Rows) -> int:
    return set_split(rows, first(rows, lambda i: rows[i]["split"] == "test"), "context")


def example_without_history(rows: Rows) -> int:
    return set_split(rows, first(rows, lambda i: rows[i]["position"] == 2), "train")


def train_after_test(rows: Rows) -> int:
    return set_split(rows, first(rows, lambda i: rows[i + 1]["position"] == 0), "train")


def flip_a_label(rows: Rows) -> int:
    rows[30]["liked"] = not rows[30]["liked"]
    return 30


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (go_back_in_time, "order in time"),
        (swap_items_of_one_second, "order in time"),
        (put_a_user_in_front, "order in time"),
        (miscount, "positions"),
        (predict_an_item_of_the_history, "items once per user"),
        (point_at_another_item, "item rows"),
        (point_at_no_item, "item rows"),
        (put_in_no_split, "one split per event"),
        (context_after_an_example, "context first"),
        (example_without_history, "context first"),
        (train_after_test, "splits in order"),
        (flip_a_label, "labels"),
    ],
)
def test_only_the_matching_check_names_the_planted_event(
    folder: Path, plant: Callable[[Rows], int], check: str
):
    rows = read_events(folder)
    event = plant(rows)
    write_events(folder, rows)
    failed = failing(folder)
    assert list(failed) == [check]
    assert named(failed[check]) == [row_of(folder, event)]
    assert failed[check].offenders.count == 1
    assert failed[check].hint


def test_test_event_before_a_training_event_is_reported_with_it(folder: Path):
    rows = read_events(folder)
    event = first(rows, lambda i: rows[i]["split"] == rows[i + 1]["split"] == "train")
    rows[event]["split"] = "test"
    write_events(folder, rows)
    failed = failing(folder)
    assert list(failed) == ["splits in order"]
    (found,) = failed["splits in order"].offenders.first
    assert found.event == event + 1
    for fact in (f"event {event} ", f"item {rows[event]['item_id']}", "test"):
        assert fact in found.message


@pytest.mark.parametrize(("held", "planted"), list(itertools.permutations(SPLITS, 2)))
def test_time_split_is_the_same_for_all_users(folder: Path, held: str, planted: str):
    cut_in_time(folder)
    rows = read_events(folder)
    event = first(rows, lambda i: rows[i]["split"] == held)
    write_events(folder, [*rows[:event], rows[event] | {"split": planted}, *rows[event + 1 :]])
    failed = failing(folder)
    assert list(failed) == ["splits in order"]
    assert named(failed["splits in order"]) == [row_of(folder, event)]


def planted(folder: Path, kind: str, event: int, split: str) -> list[tuple[int | None, ...]]:
    """Put one event of a split of a kind into another split, and return what is found."""
    rows = read_events(folder)
    write_events(folder, [*rows[:event], rows[event] | {"split": split}, *rows[event + 1 :]])
    failed = failing(folder)
    assert "splits in order" in failed, (kind, failed)
    return named(failed["splits in order"])


@pytest.mark.parametrize(("held", "other"), list(itertools.permutations(SPLITS, 2)))
def test_an_item_is_in_one_split(folder: Path, held: str, other: str):
    hold_out_items(folder)
    event = first(read_events(folder), lambda i: read_events(folder)[i]["split"] == held)
    assert planted(folder, "items", event, other)[0] == row_of(folder, event)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_no_row_follows_an_item_of_a_later_split(folder: Path, split: str):
    hold_out_items(folder)
    rows = read_events(folder)
    own = {row["item_idx"]: row["split"] for row in rows if row["split"] != "context"}
    event = first(
        rows,
        lambda i: (
            rows[i]["split"] == "context"
            and rows[i]["position"] >= 5
            and own.get(rows[i]["item_idx"]) == split
        ),
    )
    assert planted(folder, "items", event, split) == [row_of(folder, event)]


@pytest.mark.parametrize(("held", "other"), list(itertools.permutations(SPLITS, 2)))
def test_a_user_is_in_one_split(folder: Path, held: str, other: str):
    hold_out_users(folder)
    rows = read_events(folder)
    event = first(rows, lambda i: rows[i]["split"] == rows[i - 1]["split"] == held)
    assert planted(folder, "users", event, other)[0] == row_of(folder, event)


def test_the_first_offenders_are_named_and_all_are_counted(folder: Path):
    rows = read_events(folder)
    for row in rows[:17]:
        row["liked"] = not row["liked"]
    write_events(folder, rows)
    offenders = failing(folder)["labels"].offenders
    assert offenders.count == 17
    assert [found.event for found in offenders.first] == list(range(SHOWN))


def test_a_missing_value_is_refused(folder: Path):
    path = folder / TIMELINES
    rows = read_events(folder)
    rows[3]["rating"] = None
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)
    with raises_error(DataError, "missing_values", where=TIMELINES, figures=["row 3", "rating"]):
        failing(folder)


def test_no_events_are_refused(folder: Path):
    path = folder / TIMELINES
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    with raises_error(DataError, "no_ratings", where=TIMELINES):
        failing(folder)


def test_find_event_by_user_and_item(many_events: EventTable):
    places = np.arange(len(many_events))
    user, item = many_events.timelines.user_id, many_events.item_id
    assert (many_events.find(user, item) == places).all()
    for absent in (-5, 10**6):
        nobody = np.full(len(many_events), absent)
        assert (many_events.find(nobody, item) == NOT_FOUND).all()
        assert (many_events.find(user, nobody) == NOT_FOUND).all()
