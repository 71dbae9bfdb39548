"""Guard: predictions are of held-out events, with the facts those events have, each once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from reeltune.check.events import Events
from reeltune.check.findings import SHOWN, Finding, Guard, Offenders, Outcome
from reeltune.data.columns import TEST, VALIDATION, Columns
from reeltune.errors import DataError
from reeltune.evaluation.predictions import Predictions, read_predictions

_MEND: Final = "Run reeltune evaluate again, on the prepared data the adapter was trained on"
ROWS: Final = Guard("predicted rows", _MEND)
ONCE: Final = Guard("predicted once", _MEND)

HELD_OUT: Final = (VALIDATION, TEST)

Parts = Mapping[str, Predictions]
"""The rows of each split."""


def read_parts(path: Path) -> tuple[Parts, int]:
    """Read a file of predictions: the rows of each split, and how many rows are of none.

    Raises:
        DataError: The file lacks a column, or a row a value.
    """
    parts, table = read_predictions(path), pq.read_table(path)
    for name in table.column_names:
        if table[name].null_count:
            row = table[name].is_null().index(True).as_py()
            raise DataError(
                f"row {row} has no {name}", code="missing_values", where=str(path), hint=_MEND
            )
    return parts, table.num_rows - sum(map(len, parts.values()))


def predicted_rows_are_held_out(events: Events, parts: Parts, strays: int = 0) -> Outcome:
    """Each row is a held-out event of its split: same user, film, position, time and label.

    An event is in one split, so a row that stands in two of them is wrong in one.

    Args:
        events: The prepared events.
        parts: The rows of each split.
        strays: Rows of no split that holds examples.
    """
    stray = [Finding(f"{strays} rows are of no split that holds examples")] if strays else []
    offenders = Offenders.of(stray)
    for split, rows in parts.items():
        wrong = _wrong(events, split, rows)
        bad = np.flatnonzero(np.any([differs for differs, _ in wrong.values()], axis=0))
        first = (
            _finding(
                rows, row, [f"{name} {held[row]}" for name, (d, held) in wrong.items() if d[row]]
            )
            for row in bad[:SHOWN]
        )
        offenders += Offenders(len(bad), tuple(first))
    return ROWS.judge(_about(parts), offenders)


def _wrong(
    events: Events, split: str, rows: Predictions
) -> dict[str, tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]]:
    """Return where rows differ from their event, and what the event has, by the fact's name."""
    timelines = events.timelines
    exists = (rows.event >= 0) & (rows.event < len(events))
    event = np.where(exists, rows.event, 0)
    told = {
        Columns.SPLIT: (np.full(len(rows), split), timelines.split),
        Columns.USER: (rows.user_id, timelines.user_id),
        Columns.ITEM: (rows.item_id, events.item_id),
        Columns.POSITION: (rows.position, timelines.position),
        Columns.TIMESTAMP: (rows.timestamp, timelines.timestamp),
        Columns.LIKED: (rows.liked, timelines.liked),
    }
    wrong: dict[str, tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]] = {
        name: (exists & (said != held[event]), held[event]) for name, (said, held) in told.items()
    }
    wrong["no event, only"] = (~exists, np.full(len(rows), len(events)))
    if split not in HELD_OUT:
        wrong["not held out:"] = (np.ones(len(rows), dtype=np.bool_), np.full(len(rows), split))
    return wrong


def _finding(rows: Predictions, row: int, held: list[str]) -> Finding:
    return name_row(
        rows, row, f"predicted as a {rows.split} row, but the event has {', '.join(held)}"
    )


def name_row(rows: Predictions, row: int, what: str) -> Finding:
    """Return a finding about one predicted row."""
    return Finding(what, int(rows.user_id[row]), int(rows.item_id[row]), int(rows.event[row]))


def predicted_once(parts: Parts) -> Outcome:
    """No row of a split stands there twice: it would count twice in every figure."""
    offenders = Offenders.of([])
    for split, rows in parts.items():
        order = np.argsort(rows.event, kind="stable")
        again = np.sort(order[1:][np.diff(rows.event[order]) == 0])
        first = (
            name_row(rows, row, f"stands in the {split} rows more than once")
            for row in again[:SHOWN]
        )
        offenders += Offenders(len(again), tuple(first))
    return ONCE.judge(_about(parts), offenders)


def _about(parts: Parts) -> str:
    return " and ".join(f"{len(rows):,} {split} rows" for split, rows in parts.items())
