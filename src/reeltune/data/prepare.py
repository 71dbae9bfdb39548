"""Ratings in, a prepared folder out: the whole pipeline, top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from reeltune.data.badrows import DroppedRows
from reeltune.data.columns import Columns
from reeltune.data.counts import check_no_empty_split, count_timelines
from reeltune.data.export import export_json
from reeltune.data.folder import ITEMS_FILE, META_FILE, TIMELINES_FILE, PreparedFolder
from reeltune.data.items import items_frame, read_items
from reeltune.data.meta import (
    counts_meta,
    files_meta,
    prompt_settings,
    settings_meta,
    source_meta,
    versions_meta,
)
from reeltune.data.output import output_folder
from reeltune.data.proofs import prove_timelines
from reeltune.data.ratings import read_ratings
from reeltune.data.settings import PrepareSettings
from reeltune.data.source import Source, open_source
from reeltune.data.splits import Cuts, split_events
from reeltune.data.timelines import build_timelines, check_lengths, users_table
from reeltune.errors import DataError
from reeltune.files import write_json

Say = Callable[[str], None]

# Fixed, so that the bytes written do not depend on the number of cores.
_ROW_GROUP: Final = 1 << 20


@dataclass(frozen=True)
class PrepareReport:
    """What ``prepare`` did.

    Attributes:
        folder: The prepared folder.
        meta: The content of its ``meta.json``.
    """

    folder: Path
    meta: dict[str, Any]


@dataclass(frozen=True)
class _Written:
    """What stands in the parquet files, and what was left out on the way."""

    items: pl.DataFrame
    cuts: Cuts | None
    ratings_in_source: int
    dropped_ratings: DroppedRows
    dropped_items: DroppedRows


def prepare(path: Path, settings: PrepareSettings, *, say: Say = lambda _: None) -> PrepareReport:
    """Prepare an edition for training.

    Nothing is left at ``settings.output`` unless everything succeeds.

    Args:
        path: Folder or zip of an edition.
        settings: What to do.
        say: Told what is being done, one line at a time.

    Raises:
        DataError: The data cannot be read, has bad rows, or is too little; or the output folder
            belongs to something else.
        ConfigError: The settings do not fit the edition.
    """
    try:
        with (
            output_folder(settings.output) as folder,
            open_source(path, settings.edition, scratch=folder) as source,
        ):
            settings.check_threshold(source.layout.scale)
            written = _write_tables(folder, source, settings, say)
            meta = _describe(folder, source, settings, written, say)
            write_json(folder / META_FILE, meta)
    except OSError as error:
        raise DataError(
            f"cannot be read or written: {error.strerror or error}",
            code="read_write_failed",
            where=str(error.filename or settings.output),
            hint="Check permissions and free space",
        ) from error
    return PrepareReport(settings.output, meta)


def _write_tables(folder: Path, source: Source, settings: PrepareSettings, say: Say) -> _Written:
    """Read the source and write timelines and films."""
    layout, skip = source.layout, settings.skip_bad_rows
    say(f"Reading {source.edition}: layout {layout.name}, stars {layout.scale}")
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
    say(f"Sorting {in_source:,} ratings of {len(items):,} films into timelines")
    events, dropped_ratings = build_timelines(source.ratings, layout, ratings, skip_bad_rows=skip)
    del ratings  # the unsorted copy of 32 million rows is a gigabyte
    check_lengths(users_table(events), settings)
    table, cuts = split_events(events, settings)
    _write_parquet(table, folder / TIMELINES_FILE)
    _write_parquet(items.lazy(), folder / ITEMS_FILE)
    return _Written(items, cuts, in_source, dropped_ratings, dropped_items)


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
    folder: Path, source: Source, settings: PrepareSettings, written: _Written, say: Say
) -> dict[str, Any]:
    """Prove and count what was written, export it, and return the content of ``meta.json``."""
    timelines = folder / TIMELINES_FILE
    events = written.ratings_in_source - written.dropped_ratings.total
    checks = prove_timelines(timelines, written.items, settings, written.cuts, events)
    counts = count_timelines(timelines)
    check_no_empty_split(counts, settings, written.cuts)
    meta = {
        **versions_meta(),
        "edition": source.edition,
        "layout": source.layout.name,
        "source": source_meta(
            source, written.ratings_in_source, len(written.items) + written.dropped_items.total
        ),
        "settings": settings_meta(settings, written.cuts),
        "prompt": prompt_settings(settings, source.layout).to_dict(),
        "counts": counts_meta(
            counts,
            written.items,
            ratings_in_source=written.ratings_in_source,
            dropped_ratings=written.dropped_ratings,
            dropped_items=written.dropped_items,
        ),
        "label_rates": counts.label_rates(),
        "span": counts.span(),
        "dropped": {
            **written.dropped_items.to_dict(),
            **written.dropped_ratings.to_dict(),
        },
        "checks": checks,
    }
    rows = {TIMELINES_FILE: counts.events, ITEMS_FILE: len(written.items)}
    if settings.export is not None:
        say(f"Writing {counts.examples:,} examples as JSON ({settings.export})")
        rows |= export_json(PreparedFolder(folder, meta), settings.export)
    meta["files"] = files_meta(folder, rows)
    return meta
