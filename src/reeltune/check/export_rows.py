"""Rows of the exported files as numbers that can be compared: one from the file, one from events.

A row of text names no user. Its history, stars and candidate do: they are cut out of the text,
without the instruction and the question around them, and compared with those rendered from the
events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from reeltune.check.events import Events, Ints
from reeltune.data.folder import Examples
from reeltune.domain import Renderer

_FIRST_EVENT: Final = re.compile(r"^\d\.\d: ", re.MULTILINE)
_AT_ONCE: Final = 1 << 17
"""Examples whose lines are in memory together."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of an exported file, a line each, without holding them all.

    Raises:
        ValueError: A line is not JSON.
    """
    with path.open(encoding="utf-8", newline="\n") as stream:
        for line in stream:
            text = line.strip().removesuffix(",")
            if text not in ("[", "]", ""):
                yield json.loads(text)


def key_of_text(row: dict[str, Any]) -> int:
    """Return the number of a row of ``train.json`` or ``eval.json``, in chat or Alpaca form.

    Raises:
        ValueError: The row is not one that ``prepare`` writes.
    """
    try:
        if "messages" in row:
            user, assistant = row["messages"]
            text, answer = user["content"], assistant["content"]
        else:
            text, answer = row["instruction"] + row["input"], row["output"]
        first = _FIRST_EVENT.search(text)
    except (KeyError, TypeError) as error:
        raise ValueError("no chat and no Alpaca row") from error
    if first is None:
        raise ValueError("a row without a history")
    return hash((text[first.start() : text.rindex("\n") + 1], answer))


def keys_of_examples(events: Events, examples: Examples) -> Ints:
    """Return the number of every example, as :func:`key_of_text` gives it for its exported row."""
    renderer = Renderer(events.folder.prompt_settings)
    items = [renderer.item(item) for item in events.folder.items]
    before = renderer.before_candidate()
    answers = [renderer.answer(liked) for liked in (False, True)]
    timelines, keys = events.timelines, np.empty(len(examples), dtype=np.int64)
    for begin in range(0, len(examples), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        start, target = examples.start[part], examples.target[part]
        first, last = int(start.min()), int(target.max()) + 1
        shown = [items[row] for row in timelines.item_idx[first:last].tolist()]
        stars = timelines.stars[first:last].tolist()
        lines = [renderer.stars(s) + item for s, item in zip(stars, shown, strict=True)]
        liked = timelines.liked[target].tolist()
        pairs = zip((start - first).tolist(), (target - first).tolist(), liked, strict=True)
        keys[part] = [
            hash(("".join(lines[a:b]) + before + shown[b], answers[answer]))
            for a, b, answer in pairs
        ]
    return keys


def key_of_facts(row: dict[str, Any]) -> int:
    """Return the number of a row of ``test_raw.jsonl``, its titles left out.

    Raises:
        ValueError: The row is not one that ``prepare`` writes.
    """
    try:
        facts = (row["user_id"], row["item_id"], row["stars"], row["timestamp"], row["label"])
        history = (tuple(row["history"][name]) for name in ("item_id", "stars", "timestamp"))
        return hash((*facts, *history))
    except (KeyError, TypeError) as error:
        raise ValueError("no row of facts") from error


def facts_of_examples(events: Events, examples: Examples) -> Ints:
    """Return the number of every example, as :func:`key_of_facts` gives it for its exported row."""
    timelines = events.timelines
    columns = (events.item_id, timelines.stars, timelines.timestamp)
    keys = np.empty(len(examples), dtype=np.int64)
    pairs = zip(examples.start.tolist(), examples.target.tolist(), strict=True)
    for row, (start, target) in enumerate(pairs):
        user, item = int(timelines.user_id[target]), int(events.item_id[target])
        answer = Renderer.answer(bool(timelines.liked[target]))
        facts = (user, item, float(timelines.stars[target]), int(timelines.timestamp[target]))
        history = (tuple(column[start:target].tolist()) for column in columns)
        keys[row] = hash((*facts, answer, *history))
    return keys
