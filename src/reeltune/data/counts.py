"""Counting what was prepared, so that every rating of the source is accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from reeltune.data.columns import CONTEXT, EXAMPLE_SPLITS, TEST, TRAIN, VALIDATION, Columns
from reeltune.data.settings import PrepareSettings
from reeltune.data.splits import Cuts, iso_time
from reeltune.errors import DataError


@dataclass(frozen=True)
class Counts:
    """What a timeline table holds.

    Attributes:
        rows: Events per split, context included.
        likes: Events per split that reach the threshold.
        users: Users with at least one event.
        users_with_examples: Users with at least one example.
        items_rated: Films with at least one event.
        first_time: Time of the oldest event, in seconds since 1970, UTC.
        last_time: Time of the newest event.
    """

    rows: dict[str, int]
    likes: dict[str, int]
    users: int
    users_with_examples: int
    items_rated: int
    first_time: int
    last_time: int

    @property
    def events(self) -> int:
        """All events."""
        return sum(self.rows.values())

    @property
    def examples(self) -> int:
        """All events that are judged."""
        return sum(self.rows[split] for split in EXAMPLE_SPLITS)

    def label_rates(self) -> dict[str, float | None]:
        """Return the share of likes per split; None where a split is empty."""
        return {
            split: round(self.likes[split] / self.rows[split], 6) if self.rows[split] else None
            for split in EXAMPLE_SPLITS
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the counts for ``meta.json``."""
        return {
            "events": self.events,
            "context": self.rows[CONTEXT],
            "examples": self.examples,
            **{split: self.rows[split] for split in EXAMPLE_SPLITS},
            "users": self.users,
            "users_without_examples": self.users - self.users_with_examples,
            "items_rated": self.items_rated,
        }

    def span(self) -> dict[str, str]:
        """Return the times of the oldest and the newest event as ISO 8601."""
        return {"first": iso_time(self.first_time), "last": iso_time(self.last_time)}


def count_timelines(timelines: Path) -> Counts:
    """Count a written ``timelines.parquet``."""
    table = pl.scan_parquet(timelines, glob=False)
    per_split = table.group_by(Columns.SPLIT).agg(
        pl.len(), pl.col(Columns.LIKED).sum().alias("likes")
    )
    found = {split: (rows, likes) for split, rows, likes in per_split.collect().iter_rows()}
    is_example = pl.col(Columns.SPLIT) != CONTEXT
    users, users_with_examples, items_rated, first_time, last_time = (
        table.select(
            pl.col(Columns.USER).n_unique(),
            pl.col(Columns.USER).filter(is_example).n_unique().alias("users_with_examples"),
            pl.col(Columns.ITEM).n_unique(),
            pl.col(Columns.TIMESTAMP).min().alias("first_time"),
            pl.col(Columns.TIMESTAMP).max().alias("last_time"),
        )
        .collect()
        .row(0)
    )
    return Counts(
        rows={split: found.get(split, (0, 0))[0] for split in (CONTEXT, *EXAMPLE_SPLITS)},
        likes={split: found.get(split, (0, 0))[1] for split in (CONTEXT, *EXAMPLE_SPLITS)},
        users=users,
        users_with_examples=users_with_examples,
        items_rated=items_rated,
        first_time=first_time,
        last_time=last_time,
    )


def check_no_empty_split(counts: Counts, settings: PrepareSettings, cuts: Cuts | None) -> None:
    """Refuse a split that came out empty although rows were asked for.

    Raises:
        DataError: It names the split and the flags to change.
    """
    split = settings.split
    wanted = {TRAIN: True, VALIDATION: split.val_share > 0, TEST: split.test_share > 0}
    empty = [name for name, asked in wanted.items() if asked and not counts.rows[name]]
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
