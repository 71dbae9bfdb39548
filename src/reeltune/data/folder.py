"""The prepared folder: what it holds, and how later stages read it.

``prepare`` writes it; the length check, training and evaluation read it. Reading needs pyarrow and
numpy only, so training never loads the data-frame library.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from reeltune.data.columns import EXAMPLE_SPLITS, Columns
from reeltune.data.tables import columns_of
from reeltune.domain import Item, PromptSettings
from reeltune.errors import DataError

FORMAT_VERSION: Final = 1
TIMELINES_FILE: Final = "timelines.parquet"
ITEMS_FILE: Final = "items.parquet"
META_FILE: Final = "meta.json"
TRAIN_EXPORT: Final = "train.json"
EVAL_EXPORT: Final = "eval.json"
TEST_EXPORT: Final = "test_raw.jsonl"


Codes = npt.NDArray[np.int16]
"""Evidence: which of the things that each kind can say is said; shape ``(n, kinds)``."""


@dataclass(frozen=True)
class Timelines:
    """Every event of every user, oldest first within a user, users in ascending order.

    All arrays have one entry per event. A history is always a contiguous stretch of them.

    Attributes:
        evidence: What was known of each event before it happened; None where nobody asked.
    """

    user_id: npt.NDArray[np.int64]
    position: npt.NDArray[np.int32]
    item_idx: npt.NDArray[np.int32]
    stars: npt.NDArray[np.float32]
    timestamp: npt.NDArray[np.int64]
    liked: npt.NDArray[np.bool_]
    split: npt.NDArray[np.str_]
    evidence: Codes | None = None

    def __len__(self) -> int:
        return len(self.user_id)

    def take(self, events: slice | npt.NDArray[np.integer]) -> Timelines:
        """Return some events, in the order they are named in."""
        known = ((name, values) for name, values in vars(self).items() if values is not None)
        return Timelines(**{name: values[events] for name, values in known})

    def evidence_of(self, events: npt.NDArray[np.integer]) -> Codes | None:
        """Return the evidence on some events, shape ``(n, kinds)``, if there is any."""
        return None if self.evidence is None else self.evidence[events]


@dataclass(frozen=True)
class Examples:
    """Candidates with their histories, as positions in a :class:`Timelines`.

    Example ``i`` judges event ``target[i]`` from events ``start[i]`` to ``target[i] - 1``.
    """

    start: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: npt.NDArray[np.int64]) -> Examples:
        """Return the examples at ``rows``, in that order."""
        return Examples(start=self.start[rows], target=self.target[rows])


@dataclass(frozen=True)
class PreparedFolder:
    """A folder written by ``reeltune prepare``.

    Attributes:
        path: Where it lies.
        meta: The content of ``meta.json``: edition, checksums, settings, counts, prompt version.
    """

    path: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> PreparedFolder:
        """Open a prepared folder.

        Raises:
            DataError: It is missing, incomplete or written in another format version.
        """
        mend = _mend(path)
        meta_file = path / META_FILE
        if not meta_file.is_file():
            raise DataError(
                "no prepared data here",
                code="not_a_prepared_folder",
                where=str(path),
                hint=mend,
            )
        try:
            meta = json.loads(meta_file.read_text(encoding="utf-8"))
        except ValueError:
            meta = None
        if not isinstance(meta, dict):
            raise DataError(
                "not the description of prepared data",
                code="bad_prepared_meta",
                where=str(meta_file),
                hint=mend,
            )
        if meta.get("format_version") != FORMAT_VERSION:
            raise DataError(
                f"prepared in format {meta.get('format_version')}, this version reads "
                f"{FORMAT_VERSION}",
                code="old_prepared_format",
                where=str(meta_file),
                hint=mend,
            )
        for name in (TIMELINES_FILE, ITEMS_FILE):
            if not (path / name).is_file():
                raise DataError(
                    f"{name} is missing", code="prepared_file_missing", where=str(path), hint=mend
                )
        folder = cls(path, meta)
        if lacking := folder._lacking():
            raise DataError(
                f"the description of prepared data lacks {lacking}",
                code="bad_prepared_meta",
                where=str(meta_file),
                hint=mend,
            )
        return folder

    def _lacking(self) -> str | None:
        """Return what the description lacks, or has where something else belongs."""
        needed = {
            "edition": lambda: str(self.meta["edition"]),
            "counts": lambda: dict(self.meta["counts"]),
            "settings.history_len": lambda: self.history_len,
            "settings.min_history": lambda: self.min_history,
            "settings of its prompt": lambda: self.prompt_settings,
        }
        for name, read in needed.items():
            try:
                read()
            except (KeyError, TypeError, ValueError):
                return name
        return None

    @property
    def history_len(self) -> int:
        """Events shown before a candidate."""
        return int(self.meta["settings"]["history_len"])

    @property
    def min_history(self) -> int:
        """The fewest events an example may show."""
        return int(self.meta["settings"]["min_history"])

    @property
    def prompt_settings(self) -> PromptSettings:
        """What the renderer needs to know of this data."""
        return PromptSettings.from_dict(self.meta["prompt"])

    @property
    def timelines(self) -> Timelines:
        """All events, in time order within each user, with the evidence a prompt tells, if any."""
        return self.ratings

    @cached_property
    def ratings(self) -> Timelines:
        """All events, in time order within each user, and no evidence on them."""
        names = (
            *(Columns.USER, Columns.POSITION, Columns.ITEM_IDX, Columns.STARS),
            *(Columns.TIMESTAMP, Columns.LIKED, Columns.SPLIT),
        )
        column = columns_of(self.path / TIMELINES_FILE, names, _mend(self.path))
        return Timelines(
            user_id=column[Columns.USER].to_numpy(),
            position=column[Columns.POSITION].to_numpy(),
            item_idx=column[Columns.ITEM_IDX].to_numpy(),
            stars=column[Columns.STARS].to_numpy(),
            timestamp=column[Columns.TIMESTAMP].to_numpy(),
            liked=column[Columns.LIKED].to_numpy(),
            split=np.asarray(pc.cast(column[Columns.SPLIT], "string").to_numpy(), dtype=np.str_),
        )

    @cached_property
    def items(self) -> list[Item]:
        """All films of the edition, in the order ``item_idx`` counts them."""
        names = (Columns.ITEM, Columns.TITLE, Columns.YEAR, Columns.GENRES)
        file, undated = self.path / ITEMS_FILE, {Columns.YEAR}
        column = columns_of(file, names, _mend(self.path), may_lack=undated)
        rows = zip(*(column[name].to_pylist() for name in names), strict=True)
        return [Item(item_id, title, year, tuple(genres)) for item_id, title, year, genres in rows]

    def examples(self, split: str) -> Examples:
        """Return every example of one split, in timeline order.

        Args:
            split: ``train``, ``validation`` or ``test``.
        """
        if split not in EXAMPLE_SPLITS:
            raise DataError(
                f"unknown split {split!r}",
                code="unknown_split",
                hint=f"Choose from {EXAMPLE_SPLITS}",
            )
        return self.with_own_history(np.flatnonzero(self.ratings.split == split))

    def with_own_history(self, events: npt.NDArray[np.integer]) -> Examples:
        """Return examples that judge events, each with the prepared length of history.

        Args:
            events: The candidates, as places among the timelines' events.
        """
        target = events.astype(np.int64)
        shown = np.minimum(self.ratings.position[target].astype(np.int64), self.history_len)
        return Examples(start=target - shown, target=target)


def _mend(path: Path) -> str:
    return f"Run: reeltune prepare --output-dir {path}"
