"""The prepared folder: what it holds, how later stages read it, and keys of what they cache.

Reading needs pyarrow and numpy only, so training never loads polars.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reeltune.data.columns import EXAMPLE_SPLITS, NO_TIMES, SPLITS, TRAIN, Columns
from reeltune.data.history import ContextSource, NoContext
from reeltune.data.ids import TEXT, Ids
from reeltune.data.parquet import read_columns, to_array
from reeltune.data.settings import SplitKind, SplitSettings
from reeltune.data.tags import ItemTags, Tag
from reeltune.data.timelines import Examples, Ints, SplitColumn, Timelines
from reeltune.domain import GPHyperparameters, Item, PromptSettings
from reeltune.errors import DataError
from reeltune.files import cached_digest, read_object

FORMAT_VERSION: Final = 3
"""Format 3 admits ids that are text and other scales than stars. Format 2 renamed columns to
``item_id``, ``item_idx`` and ``rating``, and ``films.parquet``."""
_READABLE: Final = (2, FORMAT_VERSION)
TIMELINES_FILE: Final = "timelines.parquet"
ITEMS_FILE: Final = "items.parquet"
USERS_FILE: Final = "users.parquet"
TAGS_FILE: Final = "tags.parquet"
AUXILIARY_FILE: Final = "auxiliary.parquet"
META_FILE: Final = "meta.json"
TRAIN_EXPORT: Final = "train.json"
EVAL_EXPORT: Final = "eval.json"
TEST_EXPORT: Final = "test_raw.jsonl"

_TABLES: Final = (TIMELINES_FILE, ITEMS_FILE)
_LONGEST: Final = 1 << 31
DIGEST: Final = "digest"
"""The key of ``meta.json`` that holds the digest of all others; absent from older folders."""


@dataclass(frozen=True)
class PreparedFolder:
    """A folder written by ``reeltune prepare``. Its tables are read once and then cached.

    Attributes:
        meta: The content of ``meta.json``: edition, checksums, settings, counts, prompt version.
        make_context: Returns the source of the context lines; None for prompts without any.
        adapter_process: Hyperparameters of the adapter that prompts are made for; None for those
            of the data.
        verify: Whether tables are refused that differ from their checksums or break an invariant.
    """

    path: Path
    meta: dict[str, Any]
    make_context: Callable[[PreparedFolder], ContextSource] | None = None
    verify: bool = False
    adapter_process: GPHyperparameters | None = None

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> PreparedFolder:
        """Open a prepared folder. The leakage checks do not verify: they report what was changed.

        Raises:
            DataError: It is missing, incomplete, changed or written in another format version.
        """
        hint, meta_file = _hint(path), path / META_FILE
        if path.is_file():
            raise DataError(
                "a file, and not a prepared folder",
                code="not_a_prepared_folder",
                where=str(path),
                hint="Name the folder that reeltune prepare wrote",
            )
        if not meta_file.is_file():
            raise DataError(
                "no prepared data here",
                code="not_a_prepared_folder",
                where=str(path),
                hint=f"{hint}. Or name the folder that has them: that of an adapter is "
                "data.prepared_dir in its run.json",
            )
        try:
            meta = read_object(meta_file)
        except ValueError:
            raise DataError(
                "not the description of prepared data",
                code="bad_prepared_meta",
                where=str(meta_file),
                hint=hint,
            ) from None
        _check_version(meta.get("format_version"), path)
        folder = cls(path, meta, verify=verify)
        for name in folder.tables:
            if not (path / name).is_file():
                raise DataError(
                    f"{name} is missing", code="prepared_file_missing", where=str(path), hint=hint
                )
        if missing := folder._missing_key():
            raise DataError(
                f"the description of prepared data lacks a valid {missing}",
                code="bad_prepared_meta",
                where=str(meta_file),
                hint=hint,
            )
        digest = meta_digest(meta)
        if meta.get(DIGEST, digest) != digest:
            raise _changed_error(meta_file)
        folder._refuse_changed(*folder.tables)
        return folder

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables, with those that not every prepared folder has."""
        ids, files = self.meta.get("ids"), self.meta.get("files")
        users = (USERS_FILE,) if isinstance(ids, dict) and ids.get("user") == TEXT else ()
        written = files if isinstance(files, dict) else {}
        return (*_TABLES, *users, *(n for n in (TAGS_FILE, AUXILIARY_FILE) if n in written))

    def _missing_key(self) -> str | None:
        """Return the first needed key of ``meta.json`` that is absent or not valid."""
        meta, settings = self.meta, self.meta.get("settings", {})
        needed: dict[str, Callable[[], object]] = {
            "edition": lambda: str(meta["edition"]),
            "counts": lambda: sum(
                meta["counts"][name] for name in ("ratings_in_source", "dropped", "events")
            ),
            "label_rates and span": lambda: meta["label_rates"].keys() | meta["span"].keys(),
            "files": lambda: [
                meta["files"][name][key] for name in self.tables for key in ("sha256", "rows")
            ],
            "settings.history_len": lambda: 0 < self.history_len < _LONGEST,
            "settings.min_history": lambda: 0 <= self.min_history <= self.history_len,
            "settings.split": lambda: self.split.kind in ("user", "users") or self.time_cuts,
            "prompt": lambda: self.prompt_settings.scale.is_valid,
            "signals": lambda: self.gaussian_process,
            "prompt.threshold": lambda: (
                self.prompt_settings.threshold == float(settings["rating_threshold"])
            ),
        }
        for name, read in needed.items():
            try:
                if read() is False:
                    return name
            except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
                return name
        return None

    def changed(self, names: Iterable[str]) -> list[str]:
        """Return the names of files that differ from their checksums in ``meta.json``."""
        files = self.meta["files"]
        return [name for name in names if cached_digest(self.path / name) != files[name]["sha256"]]

    def _refuse_changed(self, *names: str) -> None:
        if self.verify and (changed := self.changed(names)):
            raise _changed_error(self.path / changed[0])

    @property
    def counts(self) -> dict[str, int]:
        """Number of users, items and events, and of the events in each split."""
        return self.meta["counts"]

    @property
    def history_len(self) -> int:
        """The most events shown before a candidate."""
        return int(self.meta["settings"]["history_len"])

    @property
    def min_history(self) -> int:
        """The fewest events shown before a candidate."""
        return int(self.meta["settings"]["min_history"])

    @property
    def split(self) -> SplitSettings:
        """How examples were divided, without the dates of a time split."""
        settings = self.meta["settings"]
        if (kind := settings["split"]) not in get_args(SplitKind):
            raise ValueError(f"unknown split {kind!r}")
        shares = {name: settings.get(name) for name in ("val_fraction", "test_fraction")}
        return SplitSettings(kind, **{name: s for name, s in shares.items() if s is not None})

    @property
    def time_cuts(self) -> tuple[int, int]:
        """When validation and test begin in a time split, in seconds since 1970, UTC.

        With held-out items: when the first validation and the first test item were first rated.
        """
        settings = self.meta["settings"]
        return int(settings["val_from"]["seconds"]), int(settings["test_from"]["seconds"])

    @property
    def has_times(self) -> bool:
        """Whether ratings have times, rather than the numbers of their rows."""
        return self.meta.get("tables", {}).get("times") != NO_TIMES

    @property
    def prompt_settings(self) -> PromptSettings:
        """The settings of the prompts in the JSON files."""
        return PromptSettings.from_dict(self.meta["prompt"])

    @property
    def gaussian_process(self) -> GPHyperparameters:
        """What the signal ``expected`` is computed with: an adapter's, or fitted to the data."""
        if self.adapter_process is not None:
            return self.adapter_process
        signals = self.meta.get("signals", {})
        return GPHyperparameters.from_dict(signals.get("gaussian_process", {}))

    def with_context(
        self,
        make_context: Callable[[PreparedFolder], ContextSource],
        adapter_process: GPHyperparameters | None = None,
    ) -> PreparedFolder:
        """Return the same data with context lines. Tables that were read already are shared."""
        folder = replace(self, make_context=make_context, adapter_process=adapter_process)
        tables = ("ratings", "rated_item_id", "items", "user_ids", "item_ids", "tags", "auxiliary")
        vars(folder).update({name: vars(self)[name] for name in tables if name in vars(self)})
        return folder

    @cached_property
    def context(self) -> ContextSource:
        """The source of the context lines."""
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
            *(Columns.TIMESTAMP, Columns.LIKED),
        )
        checked = (Columns.ITEM,) if self.verify else ()
        column = self._read(TIMELINES_FILE, (*names, Columns.SPLIT, *checked))
        split = SplitColumn.from_arrow(column[Columns.SPLIT])
        timelines = Timelines(*(to_array(column[name]) for name in names), split=split)
        if self.verify:
            from reeltune.data.invariants import require_invariants

            require_invariants(self, timelines, to_array(column[Columns.ITEM]))
        return timelines

    @cached_property
    def rated_item_id(self) -> Ints:
        """The item id that ``timelines.parquet`` gives each event, which ``item_idx`` points at."""
        return to_array(self._read(TIMELINES_FILE, [Columns.ITEM])[Columns.ITEM])

    @cached_property
    def items(self) -> list[Item]:
        """All items of the edition, indexed by ``item_idx``."""
        names = (Columns.ITEM, Columns.TITLE, Columns.YEAR, Columns.GENRES)
        names += (Columns.TEXT,) if self.prompt_settings.item_text else ()
        column = self._read(ITEMS_FILE, names, nullable={Columns.YEAR})
        rows = zip(*(column[name].to_pylist() for name in names), strict=True)
        return [
            Item(item_id, title, year, tuple(genres), *map(tuple, text))
            for item_id, title, year, genres, *text in rows
        ]

    @cached_property
    def user_ids(self) -> Ids:
        """The ids of users."""
        if USERS_FILE not in self.tables:
            return Ids()
        return Ids(self._read(USERS_FILE, [Columns.USER])[Columns.USER].to_pylist())

    @cached_property
    def item_ids(self) -> Ids:
        """The ids of items."""
        return Ids.of([item.item_id for item in self.items])

    @property
    def item_keys(self) -> Ints:
        """The key of each item's id, by ``item_idx``."""
        if self.item_ids.texts is not None:
            return np.arange(len(self.items))
        return np.array([item.item_id for item in self.items], dtype=np.int64)

    @cached_property
    def tags(self) -> ItemTags | None:
        """The texts that tags give the items; None if the data were prepared without."""
        return ItemTags.of(self.tag_rows, len(self.items)) if TAGS_FILE in self.tables else None

    @property
    def tag_rows(self) -> list[Tag]:
        """All tags, by item and time."""
        names = (Columns.ITEM_IDX, Columns.TIMESTAMP, Columns.TAG)
        column = self._read(TAGS_FILE, names)
        rows = zip(*(column[name].to_pylist() for name in names), strict=True)
        return [Tag(*row) for row in rows]

    @cached_property
    def auxiliary(self) -> Timelines | None:
        """Ratings by users of other data, numbered from 0, for item statistics; None without."""
        if AUXILIARY_FILE not in self.tables:
            return None
        names = (Columns.USER, Columns.ITEM_IDX, Columns.RATING, Columns.TIMESTAMP)
        columns = self._read(AUXILIARY_FILE, names).values()
        user, item_idx, rating, timestamp = map(to_array, columns)
        liked = rating >= self.prompt_settings.threshold
        train = SplitColumn(np.full(len(user), SPLITS.index(TRAIN), dtype=np.int8))
        return Timelines(user, 0 * item_idx, item_idx, rating, timestamp, liked, train)

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
        self._refuse_changed(name)  # again: it may have been replaced since the folder was opened
        return read_columns(self.path / name, columns, _hint(self.path), nullable)


@dataclass(frozen=True)
class CacheKey:
    """Everything a cache depends on, by name, so that a miss can report what changed."""

    parts: dict[str, Any]

    def changed_from(self, stored: dict[str, Any]) -> list[str]:
        """Return the names of the entries that differ from a stored key."""
        names = self.parts.keys() | stored.keys()
        return sorted(name for name in names if self.parts.get(name) != stored.get(name))


def table_digests(folder: PreparedFolder) -> dict[str, str]:
    """Return the SHA-256 of each table of prepared data, by file name."""
    return {name: cached_digest(folder.path / name) for name in folder.tables}


def prepared_data(folder: PreparedFolder) -> dict[str, Any]:
    """Return the entry of a key for the content of prepared data."""
    return {"prepared data": table_digests(folder)}


def meta_digest(meta: dict[str, Any]) -> str:
    """Return the SHA-256 of everything in ``meta.json`` but this digest."""
    values = {key: value for key, value in meta.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _changed_error(file: Path) -> DataError:
    return DataError(
        "changed since the data was prepared: it does not have the checksum in meta.json",
        code="prepared_data_changed",
        where=str(file),
        hint=f"{_hint(file.parent)}, or restore the file",
    )


def _hint(path: Path) -> str:
    return f"Run: reeltune prepare --output-dir {path}"


def _check_version(version: object, path: Path) -> None:
    if version in _READABLE:
        return
    is_newer = isinstance(version, int) and version > FORMAT_VERSION
    raise DataError(
        f"prepared in format {version}, this version reads format {FORMAT_VERSION}",
        code="newer_prepared_format" if is_newer else "old_prepared_format",
        where=str(path / META_FILE),
        hint="Update reeltune, or prepare the data again with this version"
        if is_newer
        else f"{_hint(path)}, with the same flags as before",
    )
