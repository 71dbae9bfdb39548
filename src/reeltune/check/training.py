"""Guard: what a run has learned from holds no held-out event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from reeltune.check.events import UNKNOWN, Bools, Events, Ints
from reeltune.check.findings import SHOWN, Finding, Guard, Offenders, Outcome
from reeltune.check.predictions import HELD_OUT
from reeltune.config import Config
from reeltune.data.columns import TRAIN, Columns
from reeltune.data.folder import ITEMS_FILE, TIMELINES_FILE, PreparedFolder
from reeltune.files import file_digest
from reeltune.models.names import CACHE_KEY, TRAIN_CACHE
from reeltune.prompts.rows import choose_blocks, train_rows

_MEND: Final = "Train again on these data, or name with --data those the run was trained on"
SAME_DATA: Final = Guard("the run's data", _MEND)
TRAINED: Final = Guard("training rows", _MEND)
CACHED: Final = Guard("cached training rows", "Remove the cache folder and train again")

_TABLES: Final = (TIMELINES_FILE, ITEMS_FILE)


def run_learned_from_these_data(folder: PreparedFolder, record: dict[str, Any]) -> Outcome:
    """The files the run was trained on are those here, byte for byte.

    Otherwise a row held out here may have been a training row there.
    """
    trained = record["data"]["files"]
    differing = [
        Finding(f"the run was trained on another {name}")
        for name in _TABLES
        if trained[name]["sha256"] != file_digest(folder.path / name)
    ]
    return SAME_DATA.judge(", ".join(_TABLES), Offenders.of(differing))


def training_rows_are_not_held_out(
    events: Events, config: Config, record: dict[str, Any]
) -> Outcome:
    """The rows the run chose are training events, and no history of theirs shows a held-out one.

    The rows are chosen again, as the run's configuration chose them.
    """
    examples = choose_blocks(events.folder, train_rows(config)).examples
    target = examples.target
    held_out = events.is_in(*HELD_OUT)
    before = np.concatenate([[0], np.cumsum(held_out)])
    shown = before[target] - before[examples.start]
    offenders = _at(events, target, ~events.is_in(TRAIN)[target], "is trained on") + _at(
        events, target, shown > 0, "is trained on with a held-out event in its history"
    )
    trained = record["rows"][TRAIN]
    if trained != len(target):
        offenders += Offenders.of(
            [
                Finding(
                    f"the run was trained on {trained} rows, and its settings choose {len(target)}"
                )
            ]
        )
    return TRAINED.judge(f"{len(target):,} rows", offenders)


def cached_rows_are_not_held_out(events: Events, cache: Path) -> Outcome:
    """The tokenized training rows that lie in the cache are training events."""
    folder = cache / TRAIN_CACHE
    key_file = folder / CACHE_KEY
    if not key_file.is_file():
        return CACHED.not_applicable(f"there are none in {folder}")
    data = json.loads(key_file.read_text(encoding="utf-8"))["prepared data"]
    if data != {name: file_digest(events.folder.path / name) for name in _TABLES}:
        return CACHED.not_applicable(f"those in {folder} are of other data")
    columns = _read_cache(folder)
    if columns is None:
        return CACHED.not_applicable(f"those in {folder} are of another format")
    user_id, item_id, liked = columns
    event = events.find(user_id, item_id)
    unknown = event == UNKNOWN
    place = np.where(unknown, 0, event)
    first = (
        Finding("is no event of these data", int(user_id[row]), int(item_id[row]))
        for row in np.flatnonzero(unknown)[:SHOWN]
    )
    offenders = Offenders(int(unknown.sum()), tuple(first))
    wrong = ~unknown & ~events.is_in(TRAIN)[place]
    offenders += _at(events, place, wrong, "is among the training rows")
    other = ~unknown & ~wrong & (events.timelines.liked[place] != liked)
    offenders += _at(events, place, other, "has another label")
    return CACHED.judge(f"{len(event):,} rows", offenders)


def _at(events: Events, place: Ints, bad: Bools, what: str) -> Offenders:
    """Count the rows that are wrong, and name the first few by their events."""
    rows = np.flatnonzero(bad)
    split = events.timelines.split
    first = (
        events.name(int(place[row]), f"this {split[place[row]]} row {what}") for row in rows[:SHOWN]
    )
    return Offenders(len(rows), tuple(first))


def _read_cache(folder: Path) -> tuple[Ints, Ints, Bools] | None:
    """Return user, film and label of every verdict in an Arrow folder.

    None where its rows are no lists of verdicts, as an earlier version wrote them.
    """
    tables = []
    for file in sorted(folder.glob("*.arrow")):
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
            tables.append(stream.read_all().select([Columns.USER, Columns.ITEM, Columns.LIKED]))
    table = pa.concat_tables(tables)
    if not all(pa.types.is_large_list(column.type) for column in table.schema):
        return None
    user, item, liked = (
        pa.concat_arrays([rows.flatten() for rows in column.chunks]) for column in table.columns
    )
    # A column of truth values is stored in bits, which cannot be read in place.
    return user.to_numpy(), item.to_numpy(), liked.to_numpy(zero_copy_only=False)
