"""Ratings in, a prepared folder out: the whole pipeline, top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from reeltune.data.badrows import DroppedRows
from reeltune.data.build import build_timelines, check_lengths, users_table
from reeltune.data.columns import Columns
from reeltune.data.export import export_json
from reeltune.data.folder import ITEMS_FILE, META_FILE, TIMELINES_FILE, PreparedFolder
from reeltune.data.invariants import INVARIANTS, EventTable
from reeltune.data.items import items_frame, read_items
from reeltune.data.meta import (
    Counts,
    check_no_empty_split,
    counts_meta,
    describe_file,
    prompt_settings,
    settings_meta,
    versions_meta,
)
from reeltune.data.output import output_folder
from reeltune.data.ratings import read_ratings
from reeltune.data.settings import Cuts, PrepareSettings
from reeltune.data.source import Source, open_source
from reeltune.data.splits import split_events
from reeltune.errors import DataError
from reeltune.files import write_json

Notify = Callable[[str], None]

# Fixed, so that the bytes written do not depend on the number of cores.
_ROW_GROUP: Final = 1 << 20


@dataclass(frozen=True)
class PrepareReport:
    """The prepared folder and the content of its ``meta.json``."""

    folder: Path
    meta: dict[str, Any]


@dataclass(frozen=True)
class _Tables:
    """What was written to the parquet files, and which rows were dropped."""

    cuts: Cuts | None
    items: int
    ratings_in_source: int
    dropped_ratings: DroppedRows
    dropped_items: DroppedRows


def prepare(
    path: Path, settings: PrepareSettings, *, notify: Notify = lambda _: None
) -> PrepareReport:
    """Prepare an edition for training.

    Nothing is left at ``settings.output`` unless everything succeeds.

    Args:
        path: Folder or zip of an edition.
        settings: What to do.
        notify: Receives progress, one line at a time.

    Raises:
        DataError: The data cannot be read, has bad rows, or is too little; or the output folder
            holds something else.
        ConfigError: The settings do not fit the edition.
    """
    try:
        with (
            output_folder(settings.output) as folder,
            open_source(path, settings.edition, scratch=folder) as source,
        ):
            settings.check_threshold(source.layout.scale)
            tables = _write_tables(folder, source, settings, notify)
            meta = _describe(folder, source, settings, tables, notify)
            write_json(folder / META_FILE, meta)
    except OSError as error:
        raise DataError(
            f"cannot be read or written: {error.strerror or error}",
            code="read_write_failed",
            where=str(error.filename or settings.output),
            hint="Check permissions and free space",
        ) from error
    return PrepareReport(settings.output, meta)


def _write_tables(
    folder: Path, source: Source, settings: PrepareSettings, notify: Notify
) -> _Tables:
    """Read the source and write timelines and films."""
    layout, skip = source.layout, settings.skip_bad_rows
    notify(f"Reading {source.edition}: layout {layout.name}, stars {layout.scale}")
    item_list, dropped_items = read_items(source.items, layout, skip_bad_rows=skip)
    items = items_frame(item_list)
    ratings = read_ratings(source.ratings, layout, items[Columns.ITEM])
    in_source = len(ratings)
    if not in_source:
        raise DataError(
            "holds no rating",
            code="no_ratings",
            where=source.ratings.name,
            hint="Check that the file is complete",
        )
    notify(f"Sorting {in_source:,} ratings of {len(items):,} films into timelines")
    events, dropped_ratings = build_timelines(source.ratings, layout, ratings, skip_bad_rows=skip)
    del ratings  # the unsorted copy of 32 million rows is a gigabyte
    check_lengths(users_table(events), settings)
    table, cuts = split_events(events, settings)
    _write_parquet(table, folder / TIMELINES_FILE)
    _write_parquet(items.lazy(), folder / ITEMS_FILE)
    return _Tables(cuts, len(items), in_source, dropped_ratings, dropped_items)


def _write_parquet(table: pl.LazyFrame, path: Path) -> None:
    try:
        table.sink_parquet(path, row_group_size=_ROW_GROUP)
    except pl.exceptions.ComputeError as error:
        # What is computed has been checked before: only writing can fail here, and polars 2.1
        # reports a full disk as this error rather than as an OSError.
        raise DataError(
            f"cannot be written: {error}",
            code="read_write_failed",
            where=path.name,
            hint="Check permissions and free space",
        ) from error


def _describe(
    path: Path, source: Source, settings: PrepareSettings, tables: _Tables, notify: Notify
) -> dict[str, Any]:
    """Check and count what was written, export it, and return the content of ``meta.json``."""
    in_source = {
        source.ratings: tables.ratings_in_source,
        source.items: tables.items + tables.dropped_items.total,
    }
    meta: dict[str, Any] = {
        **versions_meta(),
        "edition": source.edition,
        "layout": source.layout.name,
        "source": [
            {"name": file.name, **describe_file(file, rows)} for file, rows in in_source.items()
        ],
        "settings": settings_meta(settings, tables.cuts),
        "prompt": prompt_settings(settings, source.layout).to_dict(),
    }
    folder = PreparedFolder(path, meta)
    table = EventTable.read(folder)
    checks = check_invariants(table, tables.ratings_in_source - tables.dropped_ratings.total)
    counts = Counts.of(table)
    check_no_empty_split(counts, settings, tables.cuts)
    meta |= {
        "counts": counts_meta(
            counts, tables.ratings_in_source, tables.dropped_ratings, tables.dropped_items
        ),
        "label_rates": counts.label_rates(),
        "span": counts.span(),
        "dropped": {**tables.dropped_items.to_dict(), **tables.dropped_ratings.to_dict()},
        "checks": checks,
    }
    rows = {TIMELINES_FILE: len(table), ITEMS_FILE: counts.items}
    if settings.export is not None:
        notify(f"Writing {counts.examples:,} examples as JSON ({settings.export})")
        rows |= export_json(folder, settings.export)
    meta["files"] = {name: describe_file(path / name, count) for name, count in rows.items()}
    return meta


def check_invariants(table: EventTable, events: int) -> list[str]:
    """Return the names of the invariants, after checking all of them on every row.

    Args:
        table: What was written.
        events: How many events there must be: ratings in the source less those dropped.

    Raises:
        DataError: An invariant does not hold, which is a bug of this program.
    """
    broken = [] if len(table) == events else ["event count"]
    broken += [invariant.name for invariant in INVARIANTS if not invariant.holds(table)]
    if broken:
        raise DataError(
            f"the prepared data breaks its own invariants: {', '.join(broken)}",
            code="broken_invariant",
            where=TIMELINES_FILE,
            hint="Nothing was written. This is a bug in reeltune: please report it with the "
            "command and the edition",
        )
    return ["no missing values", "event count", *(invariant.name for invariant in INVARIANTS)]
