"""Check: no held-out event is among the rows that a run was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from reeltune.config import Config
from reeltune.data.columns import TRAIN
from reeltune.data.folder import PreparedFolder, table_digests
from reeltune.data.invariants import NOT_FOUND, EventTable
from reeltune.data.timelines import Bools, Ints
from reeltune.leakage.outcomes import Check, Finding, Offenders, Outcome, event_finding, row_finding
from reeltune.prompts.rows import choose_blocks, train_rows
from reeltune.training.cache import CACHE_FORMAT, TRAIN_CACHE, stored_key, stored_rows

_HINT: Final = "Train again on these data, or name with --data those the run was trained on"
SAME_DATA: Final = Check("the run's data", _HINT)
TRAINED: Final = Check("training rows", _HINT)
CACHED: Final = Check("cached training rows", "Remove the cache folder and train again")


def run_learned_from_these_data(folder: PreparedFolder, record: dict[str, Any]) -> Outcome:
    """The run was trained on these files, byte for byte.

    Otherwise a row that is held out here may have been a training row there.
    """
    trained, digests = record["data"]["files"], table_digests(folder)
    differing = [
        Finding(f"the run was trained on another {name}")
        for name, digest in digests.items()
        if trained.get(name, {}).get("sha256") != digest
    ]
    return SAME_DATA.result(", ".join(digests), Offenders.of(differing))


def training_rows_are_not_held_out(
    table: EventTable, config: Config, record: dict[str, Any]
) -> Outcome:
    """The run's rows are training events, and none of their histories shows a held-out rating.

    The rows are selected again with the run's configuration.
    """
    examples = choose_blocks(table.folder, train_rows(config)).examples
    target = examples.target
    before = np.concatenate([[0], np.cumsum(table.held_out)])
    held_out_in_history = before[target] > before[examples.start]
    offenders = _at(table, target, ~table.is_in(TRAIN)[target], "is trained on") + _at(
        table, target, held_out_in_history, "is trained on with a held-out rating in its history"
    )
    trained = record["rows"][TRAIN]
    if trained != len(target):
        message = f"the run was trained on {trained} rows, and its settings choose {len(target)}"
        offenders += Offenders.of([Finding(message)])
    return TRAINED.result(f"{len(target):,} rows", offenders)


def cached_rows_are_not_held_out(table: EventTable, cache: Path) -> Outcome:
    """The cached tokenized training rows are training events."""
    folder = cache / TRAIN_CACHE
    try:
        stored = stored_key(folder)
        if stored is None:
            return CACHED.not_applicable(f"there are no cached rows in {folder}")
        if stored.get("prepared data") != table_digests(table.folder):
            return CACHED.not_applicable(f"the rows in {folder} are of other data")
        if stored.get("cache format") != CACHE_FORMAT:
            return CACHED.not_applicable(f"the rows in {folder} have another format")
        rows = stored_rows(folder, stored)
    except (OSError, ValueError) as error:
        return CACHED.not_applicable(f"the cache in {folder} is damaged ({error})")
    user_id, item_id, liked = rows.user_id, rows.item_id, rows.liked
    event = table.find(user_id, item_id)
    unknown = event == NOT_FOUND
    index = np.where(unknown, 0, event)
    not_trained = ~unknown & ~table.is_in(TRAIN)[index]
    mislabelled = ~unknown & ~not_trained & (table.timelines.liked[index] != liked)
    offenders = Offenders.of_rows(
        np.flatnonzero(unknown),
        lambda row: row_finding(
            table.folder, "is no event of these data", int(user_id[row]), int(item_id[row])
        ),
    )
    offenders += _at(table, index, not_trained, "is among the training rows")
    offenders += _at(table, index, mislabelled, "has another label")
    return CACHED.result(f"{len(event):,} rows", offenders)


def _at(table: EventTable, event: Ints, bad: Bools, message: str) -> Offenders:
    """Count the rows that are wrong, and name the first few by their events."""

    def explain(event: int) -> Finding:
        return event_finding(table, event, f"this {table.timelines.split[event]} row {message}")

    return Offenders.of_rows(event[bad], explain)
