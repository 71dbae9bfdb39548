"""``meta.json``: sources, settings, counts and warnings of prepared data, and its summary.

It holds no time, no path of this machine and nothing random, so equal input gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from reeltune.data.badrows import shortened
from reeltune.data.columns import CONTEXT, EXAMPLE_SPLITS, SPLITS, TEST, TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.data.invariants import EventTable
from reeltune.data.settings import Cuts, PrepareSettings, iso_time
from reeltune.domain import PromptSettings
from reeltune.errors import DataError
from reeltune.fetch.editions import EDITIONS, Edition
from reeltune.files import file_digest

_YEAR: Final = 31_556_952  # seconds
_FIRST, _LAST = 1990 - 1970, 2040 - 1970  # no ratings are likely outside these years
_LONGEST_GAP: Final = 10  # years

_NONE_LEFT: Final = {
    "user": "the shares of every user's examples round down to none",
    "items": "no item of the share has a rating that is an example",
    "users": "no user of the share has an example",
}


def count_tables(table: EventTable) -> dict[str, Any]:
    """Return the sections ``counts``, ``label_rates`` and ``span`` of ``meta.json``.

    The rate of an empty split is None.
    """
    timelines, items = table.timelines, table.folder.items
    rows = {split: int(table.is_in(split).sum()) for split in SPLITS}
    liked = {split: int(timelines.liked[table.is_in(split)].sum()) for split in EXAMPLE_SPLITS}
    is_example = table.is_in(*EXAMPLE_SPLITS)
    users_with_examples = np.count_nonzero(np.bincount(table.user_index[is_example]))
    return {
        "counts": {
            "events": len(table),
            "context": rows[CONTEXT],
            "examples": int(is_example.sum()),
            **{split: rows[split] for split in EXAMPLE_SPLITS},
            "users": table.users,
            "users_without_examples": table.users - int(users_with_examples),
            "items_rated": len(pa.array(table.item_id).unique()),
            "items": len(items),
            "items_without_year": sum(item.year is None for item in items),
        },
        "label_rates": {
            split: round(liked[split] / rows[split], 6) if rows[split] else None
            for split in EXAMPLE_SPLITS
        },
        "span": {
            "first": iso_time(int(timelines.timestamp.min())),
            "last": iso_time(int(timelines.timestamp.max())),
        },
    }


def implausible(table: EventTable) -> Iterator[str]:
    """Yield what is unlikely of the events and items of a prepared folder, a sentence each."""
    time, user = table.timelines.timestamp, table.timelines.user_id
    item = table.folder.prompt_settings.domain.item
    first, last = int(time.min()), int(time.max())
    if table.folder.has_times and (last < _FIRST * _YEAR or first > _LAST * _YEAR):
        yield (
            f"timestamps run from {first} to {last}: as seconds since 1970, {iso_time(first)} to "
            f"{iso_time(last)}. If they are dates, row numbers or other units, convert them"
        )
    if table.continues.any() and (time[1:] == time[:-1])[table.continues[1:]].all():
        yield "all ratings of a user have the same timestamp, so their order is not known"
    count = np.bincount(time // _YEAR)
    years = np.flatnonzero(count)
    gaps = np.diff(years)
    if len(gaps) and gaps.max() > _LONGEST_GAP:
        before = count[: years[gaps.argmax()] + 1].sum()
        users, items = table.folder.user_ids, table.folder.item_ids
        few, event = min((before, time.argmin()), (len(time) - before, time.argmax()))
        yield (
            f"{few:,} of {len(time):,} ratings lie {gaps.max() - 1} years or more from the others, "
            f"such as that of {item} {items.named(int(table.item_id[event]))} by user "
            f"{users.named(int(user[event]))} at second "
            f"{time[event]} ({iso_time(int(time[event]))}). Correct their timestamps"
        )
    liked, rating = table.timelines.liked[table.is_in(TRAIN)], table.timelines.rating
    if len(liked) and liked.all() == liked.any():
        yield (
            f"all {len(liked):,} training rows are {'liked' if liked[0] else 'not liked'}: ratings "
            f"run from {rating.min():g} to {rating.max():g}. Choose another --rating-threshold"
        )
    genres = {genre for item in table.folder.items for genre in item.genres}
    if odd := sorted(genre for genre in genres if set("[]{}/,") & set(genre)):
        yield f"{len(odd):,} genres look like lists, such as {odd[0][:60]!r}. Separate genres by |"


def check_no_empty_split(
    sections: dict[str, Any], settings: PrepareSettings, cuts: Cuts | None
) -> None:
    """Raise a DataError if a split with a share or a date came out empty."""
    split, counts, span = settings.split, sections["counts"], sections["span"]
    wanted = {TRAIN: True, VALIDATION: split.val_share > 0, TEST: split.test_share > 0}
    empty = [name for name, is_wanted in wanted.items() if is_wanted and not counts[name]]
    if not empty:
        return
    if cuts is None or split.kind == "items":
        raise DataError(
            f"no {' and no '.join(empty)} rows: {_NONE_LEFT[split.kind]}",
            code="empty_split",
            hint="Raise --val-fraction and --test-fraction, lower --min-history for more examples, "
            "or give the share as 0 to go without",
        )
    raise DataError(
        f"no {' and no '.join(empty)} rows: validation begins {iso_time(cuts.val_from)}, test "
        f"{iso_time(cuts.test_from)}; ratings run from {span['first']} to {span['last']}",
        code="empty_split",
        hint="Change --val-from and --test-from"
        if split.by_dates
        else "Change --val-fraction and --test-fraction, or give the share as 0 to go without",
    )


def settings_meta(settings: PrepareSettings, cuts: Cuts | None) -> dict[str, Any]:
    """Return the settings with every default resolved."""
    split = settings.split
    dates: dict[str, Any] = {"val_from": None, "test_from": None}
    if cuts is not None:
        dates = {key: {"seconds": t, "iso": iso_time(t)} for key, t in cuts._asdict().items()}
    return {
        "history_len": settings.history_len,
        "min_history": settings.least_history,
        "rating_threshold": settings.rating_threshold,
        "split": split.kind,
        "val_fraction": None if split.by_dates else split.val_fraction,
        "test_fraction": None if split.by_dates else split.test_fraction,
        **dates,
        "genres": settings.genres,
        **({"item_text": list(settings.item_text)} if settings.item_text else {}),
        "skip_bad_rows": settings.skip_bad_rows,
        **({} if settings.keep is None else {"keep": settings.keep}),
        "export": settings.export,
    }


def describe_file(path: Path, rows: int) -> dict[str, Any]:
    """Return checksum, bytes and rows of a file."""
    return {"sha256": file_digest(path), "bytes": path.stat().st_size, "rows": rows}


def print_report(folder: PreparedFolder, console: Console) -> None:
    """Print counts of ratings, rows and likes of each split, and the files."""
    meta = folder.meta
    counts, settings, domain = meta["counts"], meta["settings"], folder.prompt_settings.domain
    console.print(
        f"{counts['ratings_in_source']:,} ratings = {counts['dropped']:,} dropped + "
        f"{counts['events']:,} events of {counts['users']:,} users "
        f"({counts['users_without_examples']:,} without an example), "
        f"{domain.count(counts['items'])} ({counts['items_without_year']:,} without a year)",
        soft_wrap=True,
    )
    for reason, dropped in meta["dropped"].items():
        first = dropped["first"][0]
        console.print(
            f"dropped: {dropped['count']:,} {reason}, the first in {first['file']}, line "
            f"{first['line']}: {shortened(first['value'])}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    console.print(_splits_table(meta, folder.prompt_settings))
    if settings["val_from"] is not None:
        console.print(
            f"validation from {settings['val_from']['iso']}, test from "
            f"{settings['test_from']['iso']}"
            f"{': first ratings of the held-out items' if settings['split'] == 'items' else ''}",
            soft_wrap=True,
        )
    files = Table(box=None, show_header=False, pad_edge=False)
    for justify in ("left", "right", "right"):
        files.add_column(justify=justify)
    for name, file in meta["files"].items():
        files.add_row(name, f"{file['rows']:,} rows", decimal(file["bytes"]))
    console.print(files)
    console.print(f"{len(meta['checks'])} invariants hold for every row", style="green")
    console.print(f"Prepared data: {folder.path}", markup=False, soft_wrap=True)


def _splits_table(meta: dict[str, Any], prompt: PromptSettings) -> Table:
    words = prompt.rating_words
    counts, rates, settings = meta["counts"], meta["label_rates"], meta["settings"]
    table = Table(
        title=f"{meta['edition']}, {settings['split']} split, history {settings['history_len']}",
        caption=None if words.are_likes else f"liked: {words.said(prompt.threshold)} or more",
        caption_justify="left",
    )
    table.add_column("split")
    table.add_column("rows", justify="right")
    table.add_column("liked", justify="right")
    for split in EXAMPLE_SPLITS:
        rate = rates[split]
        table.add_row(split, f"{counts[split]:,}", "-" if rate is None else f"{rate:.1%}")
    table.add_row(f"{CONTEXT} (never predicted)", f"{counts[CONTEXT]:,}", "")
    return table


def movielens_edition(data: dict[str, Any]) -> Edition | None:
    """Return the edition that data are, given ``edition`` and ``layout``; not of other tables."""
    own = data.get("layout") == "tables"
    return next((each for each in EDITIONS if each.name == data["edition"] and not own), None)


def data_source(data: dict[str, Any]) -> str:
    """Return what data are called: an edition of MovieLens, or the name of other data."""
    return f"MovieLens ({data['edition']})" if movielens_edition(data) else data["edition"]
