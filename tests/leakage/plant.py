"""Planting a fault: change a prepared folder, then rewrite its counts, checksums and digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.data.export import export_json
from reeltune.data.folder import PreparedFolder
from reeltune.data.invariants import EventTable
from reeltune.data.meta import count_tables
from reeltune.data.settings import ExportFormat
from reeltune.leakage.outcomes import FAILED, Outcome
from reeltune.leakage.suite import Target, find_target, run_checks
from tests.prepared_data import change_meta, sign

TIMELINES = "timelines.parquet"
ITEMS = "items.parquet"

Rows = list[dict[str, Any]]


def failing(target: Target | Path) -> dict[str, Outcome]:
    """Run every check, and return those that failed."""
    target = find_target(target) if isinstance(target, Path) else target
    return {o.check: o for o in run_checks(target) if o.status == FAILED}


def named(outcome: Outcome) -> list[tuple[int | None, int | None, int | None]]:
    """User, film and event of every offender that is named."""
    return [(f.user_id, f.item_id, f.event) for f in outcome.offenders.first]


def row_of(folder: Path, event: int) -> tuple[int, int, int]:
    """User, film and index of an event, as a finding should name it."""
    events = EventTable.read(PreparedFolder.open(folder, verify=False))
    return int(events.timelines.user_id[event]), int(events.item_id[event]), event


def read_events(folder: Path) -> Rows:
    return pq.read_table(folder / TIMELINES).to_pylist()


def write_events(folder: Path, rows: Rows) -> None:
    """Write the events, with counts and checksums to match."""
    schema = pq.read_schema(folder / TIMELINES)
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / TIMELINES)
    sections = count_tables(EventTable.read(PreparedFolder.open(folder, verify=False)))

    def describe(meta: dict[str, Any]) -> None:
        counts = meta["counts"] | sections["counts"] | {"ratings_in_source": len(rows)}
        meta |= sections | {"counts": counts}
        meta["files"][TIMELINES]["rows"] = len(rows)

    change_meta(folder, describe)
    sign(folder)


def export(folder: Path, form: ExportFormat = "chat") -> None:
    """Write the JSON files, as ``prepare`` does."""
    written = export_json(PreparedFolder.open(folder, verify=False), form)

    def describe(meta: dict[str, Any]) -> None:
        meta["files"] |= {name: {"rows": rows} for name, rows in written.items()}

    change_meta(folder, describe)
    sign(folder)


def cut_in_time(folder: Path) -> None:
    """Divide the examples at one moment for everybody instead of within each user."""
    rows = read_events(folder)
    times = sorted(row["timestamp"] for row in rows)
    validation, test = times[len(times) * 6 // 10], times[len(times) * 8 // 10]
    for row in rows:
        if row["split"] != "context":
            late = (row["timestamp"] >= validation) + (row["timestamp"] >= test)
            row["split"] = ("train", "validation", "test")[late]

    def describe(meta: dict[str, Any]) -> None:
        cuts = {"val_from": {"seconds": validation}, "test_from": {"seconds": test}}
        meta["settings"] |= {"split": "time", **cuts}

    change_meta(folder, describe)
    write_events(folder, rows)


def hold_out_items(folder: Path) -> None:
    """Hold out the items that are rated first last, with every rating they have."""
    rows = read_events(folder)
    first: dict[int, int] = {}
    for row in rows:
        first[row["item_idx"]] = min(row["timestamp"], first.get(row["item_idx"], 2**62))
    newest = sorted(first, key=lambda item: (first[item], item))
    few = len(newest) // 5
    own = dict.fromkeys(newest, 0) | dict.fromkeys(newest[-2 * few :], 1)
    own |= dict.fromkeys(newest[-few:], 2)
    for event, row in enumerate(rows):
        shown = [own[r["item_idx"]] for r in rows[event - row["position"] : event + 1]]
        hidden = row["position"] < 5 or max(shown) > shown[-1]
        row["split"] = "context" if hidden else ("train", "validation", "test")[shown[-1]]

    def describe(meta: dict[str, Any]) -> None:
        cuts = {"val_from": {"seconds": 0}, "test_from": {"seconds": 0}}  # of no use
        meta["settings"] |= {"split": "items", **cuts}

    change_meta(folder, describe)
    write_events(folder, rows)


def hold_out_users(folder: Path) -> None:
    """Hold out some users with all of their examples."""
    rows = read_events(folder)
    splits = ("train", "test", "train", "validation", "train")
    for row in rows:
        if row["split"] != "context":
            row["split"] = splits[row["user_id"] // 10 % 5]
    change_meta(folder, lambda meta: meta["settings"].update(split="users"))
    write_events(folder, rows)


DIVIDE = {
    "user": lambda _: None,
    "time": cut_in_time,
    "items": hold_out_items,
    "users": hold_out_users,
}
"""Divides the examples of a prepared folder, which are divided by user, by each kind."""
