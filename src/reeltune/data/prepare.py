"""Ratings in, a prepared folder out: the whole pipeline, top to bottom."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from reeltune import __version__
from reeltune.data.badrows import DroppedRows
from reeltune.data.build import build_timelines, split_events
from reeltune.data.columns import Columns
from reeltune.data.export import export_json
from reeltune.data.folder import (
    DIGEST,
    EVAL_EXPORT,
    FORMAT_VERSION,
    ITEMS_FILE,
    META_FILE,
    TEST_EXPORT,
    TIMELINES_FILE,
    TRAIN_EXPORT,
    USERS_FILE,
    PreparedFolder,
    meta_digest,
)
from reeltune.data.invariants import INVARIANTS, EventTable
from reeltune.data.items import items_frame, read_items
from reeltune.data.meta import (
    check_no_empty_split,
    count_tables,
    describe_file,
    implausible,
    settings_meta,
)
from reeltune.data.ratings import read_ratings
from reeltune.data.settings import Cuts, PrepareSettings
from reeltune.data.source import Source, open_source
from reeltune.domain import PromptSettings
from reeltune.errors import DataError
from reeltune.files import atomic_folder, replaceable_folder, write_json
from reeltune.progress import show_progress

Notify = Callable[[str], None]

_LOGGER: Final = logging.getLogger(__name__)

# Fixed, so that the bytes written do not depend on the number of cores.
_ROW_GROUP: Final = 1 << 20

_OUR_FILES: Final = frozenset(
    {TIMELINES_FILE, ITEMS_FILE, USERS_FILE, META_FILE, TRAIN_EXPORT, EVAL_EXPORT, TEST_EXPORT}
) | {"films.parquet"}  # of format 1


@dataclass(frozen=True)
class _Tables:
    """The tables that were written, and the rows that were dropped."""

    cuts: Cuts | None
    items: int
    ratings_in_source: int
    dropped_ratings: DroppedRows
    dropped_items: DroppedRows


def prepare(
    path: Path, settings: PrepareSettings, *, notify: Notify = lambda _: None
) -> PreparedFolder:
    """Prepare the edition in a folder or zip for training.

    If it fails or the process is killed, ``settings.output`` stays as it was.

    Args:
        path: Folder or zip of an edition.
        settings: Every option.
        notify: Receives progress, one line at a time.

    Raises:
        DataError: The data cannot be read, has bad rows, or is too little; or the output folder
            holds something else.
        ConfigError: The settings do not fit the edition.
    """
    for folder in map(os.path.realpath, (path, settings.output)):
        if folder.encode("utf-8", "ignore").decode() != folder:
            raise DataError(
                "the name is not UTF-8, which polars requires",
                code="path_not_utf8",
                where=ascii(folder),
                hint="Rename the folder",
            )
    try:
        check_replaceable(settings.output)
        with (
            atomic_folder(settings.output) as folder,
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
    return PreparedFolder(settings.output, meta)


def _write_tables(
    folder: Path, source: Source, settings: PrepareSettings, notify: Notify
) -> _Tables:
    """Read the source and write timelines and items."""
    layout, skip = source.layout, settings.skip_bad_rows
    notify(f"Reading {source.edition}: layout {layout.name}, ratings from {layout.scale}")
    item_list, dropped_items = read_items(
        source.items, layout, skip_bad_rows=skip, text=settings.item_text
    )
    items = items_frame(item_list, text=bool(settings.item_text))
    ratings = read_ratings(source.ratings, layout, items[Columns.ITEM])
    in_source = len(ratings)
    if not in_source:
        raise DataError(
            "holds no rating",
            code="no_ratings",
            where=source.ratings.name,
            hint="Check that the file is complete",
        )
    notify(f"Sorting {in_source:,} ratings of {settings.domain.count(len(items))} into timelines")
    events, dropped_ratings = build_timelines(source.ratings, layout, ratings, skip_bad_rows=skip)
    del ratings  # the unsorted copy of 32 million rows is a gigabyte
    table, cuts = split_events(events, settings)
    _write_parquet(table, folder / TIMELINES_FILE)
    _write_parquet(items.lazy(), folder / ITEMS_FILE)
    return _Tables(cuts, len(items), in_source, dropped_ratings, dropped_items)


def _write_parquet(table: pl.LazyFrame, path: Path) -> None:
    try:
        table.sink_parquet(path, row_group_size=_ROW_GROUP)
    except pl.exceptions.ComputeError as error:
        # The rows are valid, so only writing can fail; polars 2.1 reports a full disk like this.
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
        "format_version": FORMAT_VERSION,
        "reeltune_version": __version__,
        "edition": source.edition,
        "layout": source.layout.name,
        "source": [
            {"name": file.name, **describe_file(file, rows)} for file, rows in in_source.items()
        ],
        "settings": settings_meta(settings, tables.cuts),
        "prompt": PromptSettings(
            threshold=settings.rating_threshold,
            scale_min=source.layout.scale.min,
            scale_max=source.layout.scale.max,
            genres=settings.genres,
            domain=settings.domain,
            item_text=settings.item_text,
        ).to_dict(),
    }
    folder = PreparedFolder(path, meta)
    table = EventTable.read(folder)
    checks = check_invariants(table, tables.ratings_in_source - tables.dropped_ratings.total)
    sections = count_tables(table)
    check_no_empty_split(sections, settings, tables.cuts)
    counts = sections["counts"]
    meta |= sections
    meta["counts"] = {
        "ratings_in_source": tables.ratings_in_source,
        "dropped": tables.dropped_ratings.total,
        **counts,
        "items_in_source": in_source[source.items],
        "items_dropped": tables.dropped_items.total,
    }
    meta["dropped"] = {**tables.dropped_items.to_dict(), **tables.dropped_ratings.to_dict()}
    meta["checks"] = checks
    meta["warnings"] = list(implausible(table))
    for warning in meta["warnings"]:
        _LOGGER.warning("warning: %s", warning)
    rows = {TIMELINES_FILE: len(table), ITEMS_FILE: tables.items}
    if settings.export is not None:
        notify(f"Writing {counts['examples']:,} examples as JSON ({settings.export})")
        with show_progress() as start:
            task = start("writing JSON", counts["examples"])
            rows |= export_json(folder, settings.export, task.advance)
    meta["files"] = {name: describe_file(path / name, count) for name, count in rows.items()}
    return meta | {DIGEST: meta_digest(meta)}


def check_invariants(table: EventTable, events: int) -> list[str]:
    """Return the names of the invariants, or raise a DataError if one does not hold.

    ``events`` is the number there should be: ratings in the source less those dropped.
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


def check_replaceable(path: Path) -> None:
    """Raise a DataError if the path holds anything that ``prepare`` did not write."""
    if not path.exists():
        return
    hint = "Choose another --output-dir, or move it away"
    if not path.is_dir():
        raise DataError(
            "is a file, not a folder", code="output_not_replaceable", where=str(path), hint=hint
        )
    names = {child.name for child in replaceable_folder(path).iterdir()}
    if names and not _is_prepared(path / META_FILE):
        raise DataError(
            "exists and is not a prepared folder, so it is not replaced",
            code="output_not_replaceable",
            where=str(path),
            hint=hint,
        )
    if foreign := sorted(names - _OUR_FILES):
        raise DataError(
            f"holds files that prepare did not write ({', '.join(foreign[:3])}), so it is not "
            "replaced",
            code="output_not_replaceable",
            where=str(path),
            hint="Move them away, or choose another --output-dir",
        )


def _is_prepared(meta_file: Path) -> bool:
    try:
        meta = json.loads(meta_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(meta, dict) and "format_version" in meta
