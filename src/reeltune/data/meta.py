"""``meta.json``: sources, settings and counts of prepared data.

It holds no time, no path of this machine and nothing random, so equal input gives equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reeltune import __version__
from reeltune.data.badrows import DroppedRows
from reeltune.data.columns import CONTEXT, EXAMPLE_SPLITS, SPLITS, TEST, TRAIN, VALIDATION
from reeltune.data.folder import FORMAT_VERSION
from reeltune.data.invariants import EventTable
from reeltune.data.layouts import Layout
from reeltune.data.settings import Cuts, PrepareSettings, iso_time
from reeltune.domain import PromptSettings
from reeltune.errors import DataError
from reeltune.files import file_digest


@dataclass(frozen=True)
class Counts:
    """Counts of a prepared folder's tables.

    Attributes:
        rows: Events per split, context included.
        likes: Liked events per split.
        first_time: Time of the oldest event, in seconds since 1970, UTC.
    """

    events: int
    rows: dict[str, int]
    likes: dict[str, int]
    users: int
    users_with_examples: int
    items: int
    items_rated: int
    items_without_year: int
    first_time: int
    last_time: int

    @classmethod
    def of(cls, table: EventTable) -> Counts:
        """Count events and films."""
        timelines, items = table.timelines, table.folder.items
        splits = {split: table.is_in(split) for split in SPLITS}
        return cls(
            events=len(table),
            rows={split: int(chosen.sum()) for split, chosen in splits.items()},
            likes={split: int(timelines.liked[chosen].sum()) for split, chosen in splits.items()},
            users=table.users,
            users_with_examples=int(
                np.count_nonzero(np.bincount(table.user_index[table.is_in(*EXAMPLE_SPLITS)]))
            ),
            items=len(items),
            items_rated=len(pa.array(table.item_id).unique()),
            items_without_year=sum(item.year is None for item in items),
            first_time=int(timelines.timestamp.min()),
            last_time=int(timelines.timestamp.max()),
        )

    @property
    def examples(self) -> int:
        """All events that are predicted."""
        return sum(self.rows[split] for split in EXAMPLE_SPLITS)

    def label_rates(self) -> dict[str, float | None]:
        """Return the share of likes per split; None where a split is empty."""
        return {
            split: round(self.likes[split] / self.rows[split], 6) if self.rows[split] else None
            for split in EXAMPLE_SPLITS
        }

    def to_dict(self) -> dict[str, int]:
        """Return the counts for ``meta.json``."""
        return {
            "events": self.events,
            "context": self.rows[CONTEXT],
            "examples": self.examples,
            **{split: self.rows[split] for split in EXAMPLE_SPLITS},
            "users": self.users,
            "users_without_examples": self.users - self.users_with_examples,
            "items_rated": self.items_rated,
            "items": self.items,
            "items_without_year": self.items_without_year,
        }

    def span(self) -> dict[str, str]:
        """Return the times of the oldest and the newest event as ISO 8601."""
        return {"first": iso_time(self.first_time), "last": iso_time(self.last_time)}


def check_no_empty_split(counts: Counts, settings: PrepareSettings, cuts: Cuts | None) -> None:
    """Raise a DataError if a split with a share or a date came out empty."""
    split = settings.split
    wanted = {TRAIN: True, VALIDATION: split.val_share > 0, TEST: split.test_share > 0}
    empty = [name for name, is_wanted in wanted.items() if is_wanted and not counts.rows[name]]
    if not empty:
        return
    if cuts is None:
        raise DataError(
            f"no {' and no '.join(empty)} rows: the shares of every user's examples round down to "
            "none",
            code="empty_split",
            hint="Raise --val-fraction and --test-fraction, lower --min-history for more examples, "
            "or give the share as 0 to go without",
        )
    span = counts.span()
    raise DataError(
        f"no {' and no '.join(empty)} rows: validation begins {iso_time(cuts.val_from)}, test "
        f"{iso_time(cuts.test_from)}; ratings run from {span['first']} to {span['last']}",
        code="empty_split",
        hint="Change --val-from and --test-from"
        if split.by_dates
        else "Change --val-fraction and --test-fraction, or give the share as 0 to go without",
    )


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


def counts_meta(
    counts: Counts, ratings_in_source: int, dropped_ratings: DroppedRows, dropped_items: DroppedRows
) -> dict[str, int]:
    """Return every count: ratings_in_source = dropped + events, events = context + examples."""
    return {
        "ratings_in_source": ratings_in_source,
        "dropped": dropped_ratings.total,
        **counts.to_dict(),
        "items_in_source": counts.items + dropped_items.total,
        "items_dropped": dropped_items.total,
    }


def describe_file(path: Path, rows: int) -> dict[str, Any]:
    """Return checksum, bytes and rows of a file."""
    return {"sha256": file_digest(path), "bytes": path.stat().st_size, "rows": rows}


def versions_meta() -> dict[str, Any]:
    """Return what wrote the folder."""
    return {"format_version": FORMAT_VERSION, "reeltune_version": __version__}
