"""Text of items within its budget of tokens, cut between words by the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from reeltune.domain import Item, Renderer
from reeltune.prompts.encoding import break_tokens
from reeltune.ragged import Ragged

EncodeAll = Callable[[list[str]], Ragged]

_DANGLING = ",;:"
"""Not left at the end of a text that was cut."""


def cut_item_text(
    renderer: Renderer, items: Sequence[Item], control: Sequence[str], encode_all: EncodeAll
) -> tuple[list[list[str]], dict[str, int]]:
    """Return each item's text within its budget, column by column, and how many were cut.

    Args:
        renderer: Its settings name the columns and their budget.
        items: The items, each with a text per column or none.
        control: Tokens that a text must not produce.
        encode_all: Returns the token ids of many texts, one row each.

    Returns:
        One list per item, and the number of items with a cut text, by column.
    """
    settings = renderer.settings
    shown: list[list[str]] = [[] for _ in items]
    count = {}
    whole = [renderer.text_values(item) for item in items] if settings.item_text else []
    for index, column in enumerate(settings.item_text):
        texts = ["".join(row[index : index + 1]) for row in whole]
        cut, count[column] = cut_column(renderer, texts, control, encode_all)
        for row, text in zip(shown, cut, strict=True):
            row.append(text)
    return shown, count


def cut_column(
    renderer: Renderer, texts: Sequence[str], control: Sequence[str], encode_all: EncodeAll
) -> tuple[list[str], int]:
    """Return plain texts within the budget, and how many were cut."""
    known = [break_tokens(text, control) for text in texts]
    cut = cut_texts(known, renderer.settings.item_text_tokens, encode_all)
    return cut, sum(text != whole for text, whole in zip(cut, known, strict=True))


def cut_texts(texts: Sequence[str], budget: int, encode_all: EncodeAll) -> list[str]:
    """Return the longest beginning of each text, in whole words, of at most ``budget`` tokens.

    A text whose first word exceeds the budget, as in scripts without spaces, is cut in that word.
    Tokens are those of the text after a space, as it follows its label.
    """
    cut = _longest([text.split(" ") for text in texts], " ", budget, encode_all)
    long = [row for row, text in enumerate(texts) if text and not cut[row]]
    words = _longest([list(texts[row].split(" ")[0]) for row in long], "", budget, encode_all)
    for row, word in zip(long, words, strict=True):
        cut[row] = word
    return cut


def _longest(
    texts: Sequence[list[str]], separator: str, budget: int, encode_all: EncodeAll
) -> list[str]:
    """Return the longest beginning of each text within the budget, in whole parts; maybe none."""
    if not texts:
        return []

    def beginning(row: int, parts: int) -> str:
        text = separator.join(texts[row][:parts])
        return text if parts == len(texts[row]) else text.rstrip(_DANGLING)

    def fits(rows: list[int], parts: list[int]) -> list[bool]:
        tokens = encode_all([f" {beginning(*one)}" for one in zip(rows, parts, strict=True)])
        return (tokens.lengths <= budget).tolist()

    lengths = np.array([len(parts) for parts in texts])
    # A word has a token at least; characters may be several to a token.
    most = lengths if not separator else np.minimum(lengths, budget)
    low, high = np.zeros(len(texts), dtype=np.int64), most.copy()
    middle = high.copy()  # most texts fit as they are
    while len(open_rows := np.flatnonzero(low < high)):
        tried = middle[open_rows]
        good = np.array(fits(open_rows.tolist(), tried.tolist()))
        low[open_rows] = np.where(good, tried, low[open_rows])
        high[open_rows] = np.where(good, high[open_rows], tried - 1)
        middle = (low + high + 1) // 2
    return [beginning(row, parts) for row, parts in enumerate(low.tolist())]
