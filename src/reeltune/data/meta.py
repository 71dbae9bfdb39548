"""``meta.json``: what was prepared from what, and where every row went.

It holds no time, no path of this machine and nothing random, so equal input gives equal bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from reeltune import __version__
from reeltune.data.badrows import DroppedRows
from reeltune.data.columns import Columns
from reeltune.data.counts import Counts
from reeltune.data.folder import FORMAT_VERSION
from reeltune.data.layouts import Layout
from reeltune.data.settings import PrepareSettings
from reeltune.data.source import Source
from reeltune.data.splits import Cuts
from reeltune.domain import PromptSettings
from reeltune.files import file_digest


def prompt_settings(settings: PrepareSettings, layout: Layout) -> PromptSettings:
    """Return what the renderer needs to know of an edition."""
    return PromptSettings(
        threshold=settings.rating_threshold,
        scale_min=layout.scale.min,
        scale_max=layout.scale.max,
        genres=settings.genres,
    )


def settings_meta(settings: PrepareSettings, cuts: Cuts | None) -> dict[str, Any]:
    """Return the settings with every default resolved."""
    split = settings.split
    return {
        "history_len": settings.history_len,
        "min_history": settings.least_history,
        "rating_threshold": settings.rating_threshold,
        "split": split.kind,
        "val_fraction": None if split.by_dates else split.val_fraction,
        "test_fraction": None if split.by_dates else split.test_fraction,
        **({"val_from": None, "test_from": None} if cuts is None else cuts.to_dict()),
        "genres": settings.genres,
        "skip_bad_rows": settings.skip_bad_rows,
        "export": settings.export,
    }


def source_meta(source: Source, ratings: int, items: int) -> list[dict[str, Any]]:
    """Return name, checksum, bytes and rows of each source file."""
    return [
        {
            "name": path.name,
            "sha256": file_digest(path),
            "bytes": path.stat().st_size,
            "rows": rows,
        }
        for path, rows in ((source.ratings, ratings), (source.items, items))
    ]


def counts_meta(
    counts: Counts,
    items: pl.DataFrame,
    *,
    ratings_in_source: int,
    dropped_ratings: DroppedRows,
    dropped_items: DroppedRows,
) -> dict[str, Any]:
    """Return every count: ratings_in_source = dropped + events, events = context + examples."""
    return {
        "ratings_in_source": ratings_in_source,
        "dropped": dropped_ratings.total,
        **counts.to_dict(),
        "items_in_source": len(items) + dropped_items.total,
        "items_dropped": dropped_items.total,
        "items": len(items),
        "items_without_year": items[Columns.YEAR].null_count(),
    }


def files_meta(folder: Path, rows: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Return checksum, bytes and rows of each written file."""
    return {
        name: {
            "sha256": file_digest(folder / name),
            "bytes": (folder / name).stat().st_size,
            "rows": count,
        }
        for name, count in rows.items()
    }


def versions_meta() -> dict[str, Any]:
    """Return what wrote the folder."""
    return {"format_version": FORMAT_VERSION, "reeltune_version": __version__}
