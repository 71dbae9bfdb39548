"""The events of a prepared folder as arrays: splits, timelines, examples and blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reeltune.data.columns import SPLITS
from reeltune.ragged import Bools, Ints, offsets_of

Floats = npt.NDArray[np.float32]

Codes = npt.NDArray[np.signedinteger]
"""Codes of context lines, one column per kind, that of tags first; shape ``(n, kinds)``."""

UNKNOWN_SPLIT: Final = "unknown"
"""The name for any split that does not exist; its code is -1."""

_NAMES: Final = (*SPLITS, UNKNOWN_SPLIT)  # code -1 is the last one
_CODE_OF: Final = {name: code for code, name in enumerate(SPLITS)}


@dataclass(frozen=True, eq=False)
class SplitColumn:
    """The split of every event, one byte each; compares and converts as split names.

    >>> column = SplitColumn.of(["context", "train", "test"])
    >>> column[1], (column == "train").tolist()
    ('train', [False, True, False])

    Attributes:
        codes: Indices into :data:`SPLITS`, -1 where a file names another split.
    """

    codes: npt.NDArray[np.int8]

    @classmethod
    def of(cls, names: Iterable[str]) -> SplitColumn:
        """Encode split names."""
        return cls(np.array([_CODE_OF.get(name, -1) for name in names], dtype=np.int8))

    @classmethod
    def from_arrow(cls, column: pa.ChunkedArray) -> SplitColumn:
        """Encode a column of strings, dictionary-encoded or not."""
        encoded = column.dictionary_encode()
        codes = [np.empty(0, dtype=np.int8)]
        for chunk in encoded.chunks:
            indices: npt.NDArray[Any] = np.from_dlpack(chunk.indices)
            codes.append(cls.of(chunk.dictionary.to_pylist()).codes[indices])
        return cls(np.concatenate(codes))

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, events: int | np.integer) -> str: ...

    @overload
    def __getitem__(self, events: slice | npt.NDArray[Any]) -> SplitColumn: ...

    def __getitem__(self, events: Any) -> str | SplitColumn:
        codes = self.codes[events]
        return SplitColumn(codes) if isinstance(codes, np.ndarray) else _NAMES[codes]

    def __eq__(self, name: object) -> Bools:  # type: ignore[override]
        """Return whether each event is in the named split, or in the same one as in a column."""
        if isinstance(name, SplitColumn):
            return self.codes == name.codes
        return self.codes == _CODE_OF.get(str(name), -2)

    def __ne__(self, name: object) -> Bools:  # type: ignore[override]
        return ~(self == name)

    __hash__ = None  # type: ignore[assignment]

    def is_in(self, *names: str) -> Bools:
        """Return whether each event is in one of the named splits."""
        return np.isin(self.codes, [_CODE_OF[name] for name in names])

    def tolist(self) -> list[str]:
        """Return the names."""
        return [_NAMES[code] for code in self.codes]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        del copy
        return np.array(_NAMES, dtype=dtype)[self.codes]


@dataclass(frozen=True)
class Timelines:
    """Every event of every user, oldest first within a user, users in ascending order.

    All arrays have one entry per event. A history is always a contiguous slice of them.

    Attributes:
        context: Codes of the context lines under each event's item; None if not computed.
    """

    user_id: npt.NDArray[np.int64]
    position: npt.NDArray[np.int32]
    item_idx: npt.NDArray[np.int32]
    rating: npt.NDArray[np.float32]
    timestamp: npt.NDArray[np.int64]
    liked: npt.NDArray[np.bool_]
    split: SplitColumn
    context: Codes | None = None

    def __len__(self) -> int:
        return len(self.user_id)

    def take(self, events: slice | npt.NDArray[np.integer]) -> Timelines:
        """Return some events, in the order of their indices."""
        known = ((name, values) for name, values in vars(self).items() if values is not None)
        return Timelines(**{name: values[events] for name, values in known})

    def followed_by(self, other: Timelines) -> Timelines:
        """Return these events, then those of ``other``, without context lines."""
        split = SplitColumn(np.concatenate([self.split.codes, other.split.codes]))
        names = vars(self).keys() - {"split", "context"}
        arrays = {name: np.concatenate([vars(self)[name], vars(other)[name]]) for name in names}
        return Timelines(**arrays, split=split)

    def context_of(self, events: npt.NDArray[np.integer]) -> Codes | None:
        """Return the codes of some events, shape ``(n, kinds)``; None if not computed."""
        return None if self.context is None else self.context[events]


@dataclass(frozen=True)
class Examples:
    """Candidates with their histories, as event indices into :class:`Timelines`.

    Example ``i`` predicts event ``target[i]`` from events ``start[i]`` to ``target[i] - 1``.
    """

    start: Ints
    target: Ints

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: Ints) -> Examples:
        """Return the examples at ``rows``, in that order."""
        return Examples(start=self.start[rows], target=self.target[rows])


@dataclass(frozen=True)
class Blocks:
    """Examples in blocks: consecutive events of one user whose histories begin at one event.

    Attributes:
        examples: All examples, block after block; within a block every ``start`` is equal.
        offsets: Block ``b`` has examples ``offsets[b]`` to ``offsets[b + 1] - 1``.
    """

    examples: Examples
    offsets: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, first: int, end: int) -> Blocks:
        """Return blocks ``first`` to ``end - 1``, or to the last one."""
        offsets = self.offsets[first : end + 1]
        examples = self.examples.take(np.arange(offsets[0], offsets[-1]))
        return Blocks(examples, offsets - offsets[0])


def cut_blocks(timelines: Timelines, examples: Examples, targets: int) -> Blocks:
    """Group examples into blocks of up to ``targets`` consecutive events, each example in one.

    The first example of a block has the history it was prepared with; the others begin with the
    same event. Examples are in timeline order.
    """
    count = len(examples)
    user = timelines.user_id[examples.target]
    broken = (np.diff(examples.target) != 1) | (np.diff(user) != 0)
    run_starts = np.flatnonzero(np.append(True, broken)[:count])
    index_in_run = np.arange(count) - np.repeat(run_starts, np.diff(np.append(run_starts, count)))
    first = np.flatnonzero(index_in_run % targets == 0)
    offsets = np.append(first, count).astype(np.int64)
    start = np.repeat(examples.start[first], np.diff(offsets))
    return Blocks(Examples(start=start, target=examples.target), offsets)


def sample_blocks(blocks: Blocks, order: Ints, limit: int) -> Blocks:
    """Return as many blocks as hold ``limit`` examples, in timeline order.

    Args:
        blocks: All blocks.
        order: Block indices by descending priority.
        limit: Examples to keep; the last block kept is truncated to reach it exactly.
    """
    sizes = np.diff(blocks.offsets)
    before = offsets_of(sizes[order])[:-1]
    chosen = order[before < limit]
    lengths = np.minimum(sizes[chosen], limit - before[before < limit])
    by_time = np.argsort(chosen)
    chosen, lengths = chosen[by_time], lengths[by_time]
    offsets = offsets_of(lengths)
    rows = np.arange(offsets[-1]) + np.repeat(blocks.offsets[chosen] - offsets[:-1], lengths)
    return Blocks(blocks.examples.take(rows), offsets)
