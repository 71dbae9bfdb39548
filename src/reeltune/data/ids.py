"""Ids as the ratings give them, and the whole-number keys that tables and arrays use for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reeltune.domain import plain_text
from reeltune.ragged import Ints

NUMBER: Final = "number"
TEXT: Final = "text"

_LIMITS: Final = np.iinfo(np.int64)

_MAX_NAMED: Final = 3
"""An error names this many ids as examples."""

_MAX_SHOWN: Final = 60
"""Characters of an id in an error."""


class Ids:
    """The ids of all users or of all items.

    Whole numbers are their own keys. An id that is text has its row number as key.

    >>> ids = Ids(["0006", "x-7"])
    >>> ids.key("x-7"), ids.id(0), ids.key("6"), Ids().key("6")
    (1, '0006', None, 6)

    Attributes:
        texts: All ids that are text, by key; None if ids are whole numbers.
    """

    def __init__(self, texts: Sequence[str] | None = None) -> None:
        self.texts = texts

    @classmethod
    def of(cls, ids: Collection[int | str]) -> Ids:
        """Return ids given by key if they are text, else those that are numbers."""
        texts = [given for given in ids if isinstance(given, str)]
        return cls(texts or None)

    def id(self, key: int) -> int | str:
        """Return the id of a key."""
        return key if self.texts is None else self.texts[key]

    def named(self, key: int) -> int | str:
        """Return the id of a key, or the key if a damaged table has one without an id."""
        known = self.texts is None or 0 <= key < len(self.texts)
        return self.id(key) if known else key

    def ids(self, keys: npt.NDArray[np.integer]) -> list[int | str]:
        """Return the id of every key."""
        return [self.id(key) for key in keys.tolist()]

    def key(self, given: int | str) -> int | None:
        """Return the key of an id, which may be typed: ``"6"`` is the number 6.

        It is None if there is no such text, or if the text is not a number of 64 bits although all
        ids are. That a number exists is not checked.
        """
        if self.texts is not None:
            return self._key_of.get(str(given))
        return int(given) if is_whole_number(str(given)) else None

    def describe(self, keys: Ints) -> str:
        """Return some ids in words, for a hint: those of ascending keys."""
        if self.texts is not None:
            return f"such as {', '.join(shown_id(text) for text in self.texts[:_MAX_NAMED])}"
        first, last = int(keys[0]), int(keys[-1])
        gaps = ", with gaps" if last - first >= len(np.unique(keys)) else ""
        return f"from {first} to {last}{gaps}"

    def arrow(self, keys: npt.NDArray[np.integer]) -> pa.Array:
        """Return the ids of keys as a column: int64, or string."""
        return pa.array(self.ids(keys), pa.int64() if self.texts is None else pa.string())

    @cached_property
    def _key_of(self) -> dict[str, int]:
        return {text: key for key, text in enumerate(self.texts or ())}


def shown_id(given: int | str) -> str:
    """Return an id for a message: short, on one line, without control tokens."""
    text = plain_text(str(given))
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def is_whole_number(text: str) -> bool:
    """Return whether a text is how Python writes a number of 64 bits: ``7``, but not ``007``."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(_LIMITS.max)):
        return False
    return str(int(text)) == text and _LIMITS.min <= int(text) <= _LIMITS.max
