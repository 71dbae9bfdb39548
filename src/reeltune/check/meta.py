"""Guard: ``meta.json`` describes the files that lie beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from reeltune.check.events import Events
from reeltune.check.findings import PREPARE_AGAIN, Finding, Guard, Offenders, Outcome
from reeltune.data.columns import CONTEXT, EXAMPLE_SPLITS
from reeltune.data.folder import (
    EVAL_EXPORT,
    ITEMS_FILE,
    META_FILE,
    TEST_EXPORT,
    TIMELINES_FILE,
    TRAIN_EXPORT,
    PreparedFolder,
)
from reeltune.files import file_digest

COUNTS: Final = Guard("counts", PREPARE_AGAIN)
CHECKSUMS: Final = Guard("checksums", PREPARE_AGAIN)

_RATE_DIGITS: Final = 6


def counts_agree(events: Events) -> Outcome:
    """Counts, label rates and span in ``meta.json`` are those of the tables."""
    meta = events.folder.meta
    differing = [
        Finding(f"{section}.{name} is {meta[section].get(name)} in {META_FILE}, but {value}")
        for section, held in _held(events).items()
        for name, value in held.items()
        if not _equal(meta[section].get(name), value)
    ]
    counts = meta["counts"]
    if counts["ratings_in_source"] != counts["dropped"] + counts["events"]:
        differing.append(
            Finding(
                f"{counts['ratings_in_source']} ratings in the source are not "
                f"{counts['dropped']} dropped and {counts['events']} events"
            )
        )
    files = meta["files"]
    for name, rows in ((TIMELINES_FILE, len(events)), (ITEMS_FILE, len(events.folder.items))):
        if files[name]["rows"] != rows:
            differing.append(
                Finding(f"{name} has {files[name]['rows']} rows in {META_FILE}, but {rows}")
            )
    return COUNTS.judge(f"{len(events):,} events", Offenders.of(differing))


def checksums_agree(folder: PreparedFolder) -> Outcome:
    """The files are byte for byte those ``meta.json`` was written for.

    An export that has been removed is no fault: nothing reads it.
    """
    files: dict[str, dict[str, Any]] = folder.meta["files"]
    present = [name for name in files if (folder.path / name).is_file()]
    differing = [
        Finding(f"{name} is not the file that was prepared")
        for name in present
        if file_digest(folder.path / name) != files[name]["sha256"]
    ]
    exports = (TRAIN_EXPORT, EVAL_EXPORT, TEST_EXPORT)
    differing += [
        Finding(f"{name} lies here, but was not prepared with these data")
        for name in exports
        if name not in files and (folder.path / name).is_file()
    ]
    return CHECKSUMS.judge(", ".join(present), Offenders.of(differing))


def _held(events: Events) -> dict[str, dict[str, Any]]:
    """Return what the tables hold, by section of ``meta.json``."""
    timelines, items = events.timelines, events.folder.items
    rows = {name: events.is_in(name) for name in (CONTEXT, *EXAMPLE_SPLITS)}
    examples = events.is_in(*EXAMPLE_SPLITS)
    users = len(np.unique(timelines.user_id))
    return {
        "counts": {
            "events": len(events),
            "examples": int(examples.sum()),
            **{name: int(held.sum()) for name, held in rows.items()},
            "users": users,
            "users_without_examples": users - len(np.unique(timelines.user_id[examples])),
            "items_rated": len(np.unique(events.item_id)),
            "items": len(items),
            "items_without_year": sum(item.year is None for item in items),
        },
        "label_rates": {
            name: float(timelines.liked[rows[name]].mean()) if rows[name].any() else None
            for name in EXAMPLE_SPLITS
        },
        "span": {
            "first": datetime.fromtimestamp(int(timelines.timestamp.min()), UTC).isoformat(),
            "last": datetime.fromtimestamp(int(timelines.timestamp.max()), UTC).isoformat(),
        },
    }


def _equal(written: Any, held: Any) -> bool:
    """Compare a value of ``meta.json``, where rates are rounded, with the tables' own."""
    if isinstance(written, float) and isinstance(held, float):
        return abs(written - held) <= 10**-_RATE_DIGITS
    return written == held
