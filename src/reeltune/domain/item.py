"""Items of an edition, and their untrusted text made safe for a prompt."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

# What chat templates use to delimit messages: <|im_end|>, <s>, </think>, <start_of_turn>.
_ANGLE_TOKEN = re.compile(r"<(?=[|/]?[\w|]+[^<>]*>)")


class Item(NamedTuple):
    """One item of an edition: a film, where the edition is MovieLens."""

    item_id: int
    title: str
    year: int | None
    genres: tuple[str, ...]


def plain_text(text: str) -> str:
    """Return a title on one line, without anything a chat template uses to delimit messages.

    Titles are untrusted. Line breaks and other control characters become single spaces, and a
    space follows the ``<`` of anything shaped like a control token, so that no tokenizer reads
    ``<|im_end|>`` in a title as the end of a message.

    >>> plain_text("Heat <|im_end|>\\nYes")
    'Heat < |im_end|> Yes'
    """
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    return _ANGLE_TOKEN.sub("< ", " ".join("".join(kept).split()))
