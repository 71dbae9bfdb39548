"""The prepared folder: what it holds, and how later stages read it.

Reading needs pyarrow and numpy only, so training never loads the data-frame library.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.data.columns import EXAMPLE_SPLITS, Columns
from reeltune.data.context import ContextSource, NoContext
from reeltune.data.timelines import Codes, Examples, SplitColumn, Timelines, to_array
from reeltune.domain import Item, PromptSettings
from reeltune.errors import DataError

FORMAT_VERSION: Final = 2
"""Format 2 renamed columns to ``item_id``, ``item_idx`` and ``rating``, and ``films.parquet``."""
TIMELINES_FILE: Final = "timelines.parquet"
ITEMS_FILE: Final = "items.parquet"
META_FILE: Final = "meta.json"
TRAIN_EXPORT: Final = "train.json"
EVAL_EXPORT: Final = "eval.json"
TEST_EXPORT: Final = "test_raw.jsonl"

__all__ = [
    "EVAL_EXPORT",
    "FORMAT_VERSION",
    "ITEMS_FILE",
    "META_FILE",
    "TEST_EXPORT",
    "TIMELINES_FILE",
    "TRAIN_EXPORT",
    "Codes",
    "Examples",
    "PreparedFolder",
    "Timelines",
]


@dataclass(frozen=True)
class PreparedFolder:
    """A folder written by ``reeltune prepare``. Its tables are read once and then cached.

    Attributes:
        path: The folder.
        meta: The content of ``meta.json``: edition, checksums, settings, counts, prompt version.
        make_context: Returns the source of the context lines; None for prompts without any.
    """

    path: Path
    meta: dict[str, Any]
    make_context: Callable[[PreparedFolder], ContextSource] | None = None

    @classmethod
    def open(cls, path: Path) -> PreparedFolder:
        """Open a prepared folder.

        Raises:
            DataError: It is missing, incomplete or written in another format version.
        """
        hint = _hint(path)
        meta_file = path / META_FILE
        if not meta_file.is_file():
            raise DataError(
                "no prepared data here", code="not_a_prepared_folder", where=str(path), hint=hint
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
                hint=hint,
            )
        version = meta.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise DataError(
                f"prepared in format {version}, this version reads format {FORMAT_VERSION}",
                code="newer_prepared_format",
                where=str(meta_file),
                hint="Update reeltune, or prepare the data again with this version",
            )
        if version != FORMAT_VERSION:
            raise DataError(
                f"prepared in format {version}, this version reads format {FORMAT_VERSION}",
                code="old_prepared_format",
                where=str(meta_file),
                hint=f"{hint}, with the same flags as before",
            )
        for name in (TIMELINES_FILE, ITEMS_FILE):
            if not (path / name).is_file():
                raise DataError(
                    f"{name} is missing", code="prepared_file_missing", where=str(path), hint=hint
                )
        folder = cls(path, meta)
        if missing := folder._missing_key():
            raise DataError(
                f"the description of prepared data lacks {missing}",
                code="bad_prepared_meta",
                where=str(meta_file),
                hint=hint,
            )
        return folder

    def _missing_key(self) -> str | None:
        """Return the first needed key of ``meta.json`` that is absent or of a wrong type."""
        needed = {
            "edition": lambda: str(self.meta["edition"]),
            "counts": lambda: dict(self.meta["counts"]),
            "settings.history_len": lambda: self.history_len,
            "settings.min_history": lambda: self.min_history,
            "prompt": lambda: self.prompt_settings,
        }
        for name, read in needed.items():
            try:
                read()
            except (KeyError, TypeError, ValueError):
                return name
        return None

    @property
    def history_len(self) -> int:
        """The most events shown before a candidate."""
        return int(self.meta["settings"]["history_len"])

    @property
    def min_history(self) -> int:
        """The fewest events shown before a candidate."""
        return int(self.meta["settings"]["min_history"])

    @property
    def prompt_settings(self) -> PromptSettings:
        """What the renderer needs to know of this data."""
        return PromptSettings.from_dict(self.meta["prompt"])

    def with_context(
        self, make_context: Callable[[PreparedFolder], ContextSource]
    ) -> PreparedFolder:
        """Return the same data with context lines. Tables that were read already are shared."""
        folder = replace(self, make_context=make_context)
        read = {name: vars(self)[name] for name in _TABLES if name in vars(self)}
        vars(folder).update(read)
        return folder

    @cached_property
    def context(self) -> ContextSource:
        """Computes the context lines of prompts about this data."""
        return NoContext() if self.make_context is None else self.make_context(self)

    @cached_property
    def timelines(self) -> Timelines:
        """All events, in time order within each user, with the codes of their context lines."""
        codes = self.context.of_all_events()
        return self.ratings if codes is None else replace(self.ratings, context=codes)

    @cached_property
    def ratings(self) -> Timelines:
        """All events, in time order within each user, without context lines."""
        names = (
            *(Columns.USER, Columns.POSITION, Columns.ITEM_IDX, Columns.RATING),
            *(Columns.TIMESTAMP, Columns.LIKED, Columns.SPLIT),
        )
        column = self._read(TIMELINES_FILE, names)
        return Timelines(
            user_id=to_array(column[Columns.USER]),
            position=to_array(column[Columns.POSITION]),
            item_idx=to_array(column[Columns.ITEM_IDX]),
            rating=to_array(column[Columns.RATING]),
            timestamp=to_array(column[Columns.TIMESTAMP]),
            liked=to_array(column[Columns.LIKED]),
            split=SplitColumn.from_arrow(column[Columns.SPLIT]),
        )

    @cached_property
    def rated_item_id(self) -> npt.NDArray[np.int64]:
        """The item id that ``timelines.parquet`` gives each event, which ``item_idx`` points at."""
        return to_array(self._read(TIMELINES_FILE, [Columns.ITEM])[Columns.ITEM])

    @cached_property
    def items(self) -> list[Item]:
        """All items of the edition, indexed by ``item_idx``."""
        names = (Columns.ITEM, Columns.TITLE, Columns.YEAR, Columns.GENRES)
        column = self._read(ITEMS_FILE, names, nullable={Columns.YEAR})
        rows = zip(*(column[name].to_pylist() for name in names), strict=True)
        return [Item(item_id, title, year, tuple(genres)) for item_id, title, year, genres in rows]

    def examples(self, split: str) -> Examples:
        """Return every example of ``train``, ``validation`` or ``test``, in timeline order."""
        if split not in EXAMPLE_SPLITS:
            raise DataError(
                f"unknown split {split!r}",
                code="unknown_split",
                hint=f"Choose from {', '.join(EXAMPLE_SPLITS)}",
            )
        return self.with_own_history(np.flatnonzero(self.ratings.split == split))

    def with_own_history(self, events: npt.NDArray[np.integer]) -> Examples:
        """Return examples of the events at some indices, each with the prepared history length."""
        target = events.astype(np.int64)
        shown = np.minimum(self.ratings.position[target].astype(np.int64), self.history_len)
        return Examples(start=target - shown, target=target)

    def _read(
        self, name: str, columns: Sequence[str], nullable: Collection[str] = ()
    ) -> dict[str, pa.ChunkedArray]:
        return _read_columns(self.path / name, columns, _hint(self.path), nullable)


_TABLES: Final = ("ratings", "rated_item_id", "items")


def _hint(path: Path) -> str:
    return f"Run: reeltune prepare --output-dir {path}"


def _read_columns(
    file: Path, names: Sequence[str], hint: str, nullable: Collection[str]
) -> dict[str, pa.ChunkedArray]:
    """Return columns of a parquet file by name.

    Raises:
        DataError: The file cannot be read, or a column or a value is missing.
    """
    encoded = [name for name in names if name == Columns.SPLIT]
    try:
        with pq.ParquetFile(file, read_dictionary=encoded) as source:
            if missing := [name for name in names if name not in source.schema_arrow.names]:
                raise DataError(
                    f"column {', '.join(missing)} is missing",
                    code="missing_columns",
                    where=str(file),
                    hint=hint,
                )
            table = source.read(columns=list(names))
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"the table cannot be read ({reason})",
            code="unreadable_table",
            where=str(file),
            hint=hint,
        ) from None
    for name in names:
        if table[name].null_count and name not in nullable:
            row = table[name].is_null().index(True).as_py()
            raise DataError(
                f"row {row} has no value in column {name} ({table[name].null_count} such rows)",
                code="missing_values",
                where=str(file),
                hint=hint,
            )
    return {name: table[name] for name in names}
