"""Ids as the ratings give them, and the whole-number keys that tables and arrays use for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]

UNKNOWN_KEY: Final = -1
"""The key of an id that does not exist, where ids are text."""

NUMBER: Final = "number"
TEXT: Final = "text"

_LIMITS: Final = np.iinfo(np.int64)


class Ids:
    """The ids of all users or of all items.

    Whole numbers are their own keys. An id that is text has its row number as key.

    >>> ids = Ids(["0006", "x-7"])
    >>> ids.key("x-7"), ids.id(0), ids.key("6"), Ids().key("6")
    (1, '0006', -1, 6)

    Attributes:
        texts: All ids that are text, by key; None if ids are whole numbers.
    """

    def __init__(self, texts: Sequence[str] | None = None) -> None:
        self.texts = texts

    @property
    def kind(self) -> str:
        """``number`` or ``text``."""
        return NUMBER if self.texts is None else TEXT

    def id(self, key: int) -> int | str:
        """Return the id of a key."""
        return key if self.texts is None else self.texts[key]

    def ids(self, keys: npt.NDArray[np.integer]) -> list[int | str]:
        """Return the id of every key."""
        return [self.id(key) for key in keys.tolist()]

    def key(self, given: int | str) -> int:
        """Return the key of an id, which may be typed: ``"6"`` is the number 6.

        It is :data:`UNKNOWN_KEY` if there is no such text, or if the text is not a number although
        all ids are. That a number exists is not checked.
        """
        if self.texts is not None:
            return self._key_of.get(str(given), UNKNOWN_KEY)
        if isinstance(given, int):
            return given
        return int(given) if is_whole_number(given) else UNKNOWN_KEY

    def keys(self, given: Sequence[int | str]) -> Ints:
        """Return :meth:`key` of every id, shape ``(n,)``."""
        return np.array([self.key(one) for one in given], dtype=np.int64)

    def arrow(self, keys: npt.NDArray[np.integer]) -> pa.Array:
        """Return the ids of keys as a column: int64, or string."""
        return pa.array(self.ids(keys), pa.int64() if self.texts is None else pa.string())

    @cached_property
    def _key_of(self) -> dict[str, int]:
        return {text: key for key, text in enumerate(self.texts or ())}


def is_whole_number(text: str) -> bool:
    """Return whether a text is how Python writes a number of 64 bits: ``7``, but not ``007``."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(_LIMITS.max)):
        return False
    return str(int(text)) == text and _LIMITS.min <= int(text) <= _LIMITS.max
