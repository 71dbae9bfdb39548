"""Ratings in, a prepared folder out: the whole pipeline, top to bottom."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from reeltune import __version__
from reeltune.data.badrows import DroppedRows
from reeltune.data.build import build_timelines, split_events
from reeltune.data.columns import TAGS, Columns
from reeltune.data.export import export_json
from reeltune.data.folder import (
    AUXILIARY_FILE,
    DIGEST,
    EVAL_EXPORT,
    FORMAT_VERSION,
    ITEMS_FILE,
    META_FILE,
    TAGS_FILE,
    TEST_EXPORT,
    TIMELINES_FILE,
    TRAIN_EXPORT,
    USERS_FILE,
    PreparedFolder,
    meta_digest,
)
from reeltune.data.ids import Ids
from reeltune.data.invariants import INVARIANTS, EventTable
from reeltune.data.items import items_frame, read_items
from reeltune.data.layouts import CSV
from reeltune.data.meta import (
    check_no_empty_split,
    count_tables,
    describe_file,
    implausible,
    settings_meta,
)
from reeltune.data.ratings import describe_faults, rating_span, read_ratings
from reeltune.data.settings import Cuts, PrepareSettings
from reeltune.data.source import Source, SourceTables, open_source
from reeltune.data.tables import TableSource, read_tables
from reeltune.data.tags import read_tags
from reeltune.domain import PromptSettings
from reeltune.errors import DataError
from reeltune.files import atomic_folder, read_object, replaceable_folder, write_json
from reeltune.progress import show_progress
from reeltune.zips import replace_unprintable

Notify = Callable[[str], None]
MakeSection = Callable[[PreparedFolder, Notify], dict[str, Any]]

_LOGGER: Final = logging.getLogger(__name__)

# Fixed, so that the bytes written do not depend on the number of cores.
_ROW_GROUP: Final = 1 << 20

_OUR_FILES: Final = frozenset(
    {TIMELINES_FILE, ITEMS_FILE, USERS_FILE, TAGS_FILE, AUXILIARY_FILE, META_FILE}
    | {TRAIN_EXPORT, EVAL_EXPORT, TEST_EXPORT}
) | {"films.parquet"}  # of format 1


def prepare(
    source: Path | TableSource,
    settings: PrepareSettings,
    *,
    add_auxiliary: MakeSection | None = None,
    fit_signals: MakeSection | None = None,
    notify: Notify = lambda _: None,
) -> PreparedFolder:
    """Prepare the edition in a folder or zip, or tables of one's own, for training.

    If it fails or the process is killed, ``settings.output`` stays as it was.

    Args:
        source: Folder or zip of an edition, or the tables.
        settings: Every option.
        add_auxiliary: Writes ratings of other data; returns the section ``auxiliary``.
        fit_signals: Fits signals to the data; returns the section ``signals`` of ``meta.json``.
        notify: Receives progress, one line at a time.

    Raises:
        DataError: The data cannot be read, has bad rows, or is too little; or the output folder
            holds something else.
        ConfigError: The settings do not fit the edition.
    """
    paths = (source.ratings, source.items) if isinstance(source, TableSource) else (source,)
    for folder in map(os.path.realpath, filter(None, (*paths, settings.output))):
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
            _opened(source, settings, folder, notify) as (edition, layout, read),
        ):
            settings = replace(settings, rating_threshold=read.threshold)
            settings.check_threshold(read.scale)
            written = _write_tables(folder, read, settings, notify)
            about = {"edition": edition, "layout": layout}
            meta = _describe(folder, about, read, settings, written, notify)
            if add_auxiliary is not None:
                meta["auxiliary"] = add_auxiliary(PreparedFolder(folder, meta), notify)
                rows = meta["auxiliary"]["ratings"]
                meta["files"][AUXILIARY_FILE] = describe_file(folder / AUXILIARY_FILE, rows)
            if fit_signals is not None:
                meta["signals"] = fit_signals(PreparedFolder(folder, meta), notify)
            meta[DIGEST] = meta_digest(meta)
            write_json(folder / META_FILE, meta)
    except BrokenPipeError:  # nobody reads standard output any more
        raise
    except OSError as error:
        raise DataError(
            f"cannot be read or written: {error.strerror or error}",
            code="read_write_failed",
            where=str(error.filename or settings.output),
            hint="Check permissions and free space",
        ) from error
    return PreparedFolder(settings.output, meta)


@contextlib.contextmanager
def _opened(
    source: Path | TableSource, settings: PrepareSettings, folder: Path, notify: Notify
) -> Iterator[tuple[str, str, SourceTables]]:
    """Yield the name, the layout and the content of an edition or of tables.

    What is unpacked into the folder exists until the block ends.
    """
    skip = settings.skip_bad_rows
    if isinstance(source, TableSource):
        with tempfile.TemporaryDirectory(dir=folder, prefix="unpacked.") as scratch:
            name = settings.edition or source.ratings.name.partition(".")[0]
            read = read_tables(
                source, Path(scratch), notify, skip_bad_rows=skip, text=settings.item_text
            )
            yield replace_unprintable(name), "tables", read
        return
    with open_source(source, settings.edition, scratch=folder) as edition:
        settings.check_threshold(edition.layout.scale)
        yield edition.edition, edition.layout.name, _read_edition(edition, settings, notify)


def _read_edition(source: Source, settings: PrepareSettings, notify: Notify) -> SourceTables:
    layout = source.layout
    notify(f"Reading {source.edition}: layout {layout.name}, ratings from {layout.scale}")
    with_tags = TAGS in settings.item_text and layout is CSV and source.tags.is_file()
    columns = [column for column in settings.item_text if column != TAGS or not with_tags]
    skip = settings.skip_bad_rows
    items, dropped = read_items(source.items, layout, skip_bad_rows=skip, text=columns)
    ids = pl.Series(Columns.ITEM, [item.item_id for item in items], dtype=pl.Int64)
    ratings = read_ratings(source.ratings, layout, ids)
    read = SourceTables(
        items=items,
        dropped_items=dropped,
        ratings=ratings,
        describe=partial(describe_faults, source.ratings, layout, span=rating_span(ratings)),
        scale=layout.scale,
        files=[(source.ratings, len(ratings)), (source.items, len(items) + dropped.total)],
        threshold=settings.rating_threshold,
    )
    if with_tags:
        read.tags, read.dropped_tags = read_tags(source.tags, items, skip_bad_rows=skip)
        read.files.append((source.tags, len(read.tags) + read.dropped_tags.total))
        tagged = settings.domain.count(len({tag.item_idx for tag in read.tags}))
        notify(f"Reading {source.tags.name}: {len(read.tags):,} tags of {tagged}")
        # A text for every column: that of tags depends on the time.
        at = settings.item_text.index(TAGS)
        read.items = [item._replace(text=(*item.text[:at], "", *item.text[at:])) for item in items]
    return read


def _write_tables(
    folder: Path, read: SourceTables, settings: PrepareSettings, notify: Notify
) -> tuple[Cuts | None, int, DroppedRows]:
    """Write timelines, items, tags and the ids of users that are text.

    Returns:
        Where the splits begin, the number of ratings in the source, and those that were dropped.
    """
    in_source = len(read.ratings)
    if not in_source:
        raise DataError(
            "holds no rating",
            code="no_ratings",
            where=read.files[0][0].name,
            hint="Check that the file is complete",
        )
    notify(
        f"Sorting {in_source:,} ratings of {settings.domain.count(len(read.items))} into timelines"
    )
    events, dropped_ratings = build_timelines(
        read.take_ratings(),
        read.describe,
        skip_bad_rows=settings.skip_bad_rows,
        keep_last=settings.keep == "last",
    )
    table, cuts = split_events(events, settings, Ids(read.user_texts))
    _write_parquet(table, folder / TIMELINES_FILE)
    _write_parquet(
        items_frame(read.items, text=bool(settings.item_text)).lazy(), folder / ITEMS_FILE
    )
    if read.tags is not None:
        types = (pl.Int32(), pl.Int64(), pl.String())
        schema = list(zip((Columns.ITEM_IDX, Columns.TIMESTAMP, Columns.TAG), types, strict=True))
        _write_parquet(pl.LazyFrame(read.tags, schema=schema, orient="row"), folder / TAGS_FILE)
    if read.user_texts is not None:
        users = pl.LazyFrame({Columns.USER: read.user_texts}, schema={Columns.USER: pl.String})
        _write_parquet(users, folder / USERS_FILE)
    return cuts, in_source, dropped_ratings


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
    path: Path,
    about: dict[str, Any],
    read: SourceTables,
    settings: PrepareSettings,
    written: tuple[Cuts | None, int, DroppedRows],
    notify: Notify,
) -> dict[str, Any]:
    """Check and count what was written, export it, and return the content of ``meta.json``."""
    scale, (cuts, in_source, dropped_ratings) = read.scale, written
    meta: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "reeltune_version": __version__,
        **about,
        "source": [{"name": file.name, **describe_file(file, rows)} for file, rows in read.files],
        "settings": settings_meta(settings, cuts),
        "prompt": PromptSettings(
            threshold=settings.rating_threshold,
            scale_min=scale.min,
            scale_max=scale.max,
            scale_step=None if scale.step == scale.min else scale.step,
            genres=settings.genres,
            domain=settings.domain,
            item_text=settings.item_text,
        ).to_dict(),
        **read.about,
    }
    folder = PreparedFolder(path, meta)
    table = EventTable.read(folder)
    checks = check_invariants(table, in_source - dropped_ratings.total)
    sections = count_tables(table)
    check_no_empty_split(sections, settings, cuts)
    counts = sections["counts"]
    meta |= sections
    meta["counts"] = {
        "ratings_in_source": in_source,
        "dropped": dropped_ratings.total,
        **counts,
        "items_in_source": len(read.items) + read.dropped_items.total,
        "items_dropped": read.dropped_items.total,
    }
    dropped = (read.dropped_items, dropped_ratings, read.dropped_tags)
    meta["dropped"] = {reason: rows for part in dropped for reason, rows in part.to_dict().items()}
    meta["checks"] = checks
    meta["warnings"] = list(implausible(table))
    for warning in meta["warnings"]:
        _LOGGER.warning("warning: %s", warning)
    rows = {TIMELINES_FILE: len(table), ITEMS_FILE: len(read.items)}
    if read.user_texts is not None:
        rows[USERS_FILE] = len(read.user_texts)
    if read.tags is not None:
        rows[TAGS_FILE] = len(read.tags)
    meta["files"] = {name: describe_file(path / name, count) for name, count in rows.items()}
    if settings.export is not None:
        notify(f"Writing {counts['examples']:,} examples as JSON ({settings.export})")
        with show_progress() as start:
            task = start("writing JSON", counts["examples"])
            rows = export_json(folder, settings.export, task.advance)
        meta["files"] |= {name: describe_file(path / name, count) for name, count in rows.items()}
    return meta


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
        return "format_version" in read_object(meta_file)
    except (OSError, ValueError):
        return False
