"""Text to token ids without additions, and titles without control tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from reeltune.ragged import Ragged, concatenate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

_ENCODE_ROWS: Final = 16384


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the ids of a text, with nothing added before or after it."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportReturnType]


def encode_rows(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Ragged:
    """Return the ids of many texts, one row each, with nothing added; uses all cores."""
    if not texts:
        return Ragged.from_rows([])
    # In batches: an encoding holds a hundred times the memory of its ids.
    parts = [texts[first : first + _ENCODE_ROWS] for first in range(0, len(texts), _ENCODE_ROWS)]
    return concatenate([_encode_part(tokenizer, part) for part in parts])


def _encode_part(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Ragged:
    if not tokenizer.is_fast:
        return Ragged.from_rows([encode(tokenizer, text) for text in texts])
    # An ordinary call switches off truncation and padding in the backend.
    encode(tokenizer, "")
    backend = cast("PreTrainedTokenizerFast", tokenizer).backend_tokenizer
    encodings = backend.encode_batch_fast(texts, add_special_tokens=False)
    return Ragged.from_rows([encoding.ids for encoding in encodings])


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the added tokens with punctuation, which a title must not produce."""
    return [
        token
        for token in tokenizer.get_added_vocab()  # pyright: ignore
        if len(token) > 1 and any(unicodedata.category(c)[0] in "PS" for c in token)
    ]


def break_tokens(text: str, tokens: Sequence[str]) -> str:
    """Insert a space after the first character of every control token in an item's text.

    The renderer has already broken tokens shaped like ``<|im_end|>``; this breaks those of one
    tokenizer, such as ``[INST]``.
    """
    for token in tokens:
        if token in text:
            # The lookahead also finds overlapping occurrences.
            text = re.sub(f"{re.escape(token[0])}(?={re.escape(token[1:])})", r"\g<0> ", text)
    return text
