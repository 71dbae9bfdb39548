"""Exporting examples as JSON, for people and for other tools. Training does not read it.

Each item and rating is rendered and escaped once: JSON escapes single characters, so escaped pieces
can be concatenated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from reeltune.data.columns import TAGS, TEST, TRAIN, VALIDATION
from reeltune.data.folder import EVAL_EXPORT, TEST_EXPORT, TRAIN_EXPORT, PreparedFolder
from reeltune.data.settings import ExportFormat
from reeltune.domain import Renderer

_REPORTED_ROWS: Final = 1000


def export_json(
    folder: PreparedFolder, form: ExportFormat, advance: Callable[[int], None] = lambda _: None
) -> dict[str, int]:
    """Write ``train.json``, ``eval.json`` (the validation split) and ``test_raw.jsonl``.

    Args:
        folder: Timelines and items, with the settings they were prepared with.
        form: ``chat``: ``{"messages": [user, assistant]}``; ``alpaca``: ``instruction``,
            ``input`` and ``output``, where instruction and input together are the user's text.
        advance: Called with the number of rows written since the last call.

    Returns:
        Rows written, by file name.
    """
    prompts = _Prompts(folder, form)
    return {
        TRAIN_EXPORT: _write(folder.path / TRAIN_EXPORT, prompts.rows(TRAIN), advance),
        EVAL_EXPORT: _write(folder.path / EVAL_EXPORT, prompts.rows(VALIDATION), advance),
        TEST_EXPORT: _write(folder.path / TEST_EXPORT, _raw_rows(folder), advance, array=False),
    }


class _Prompts:
    def __init__(self, folder: PreparedFolder, form: ExportFormat) -> None:
        renderer = Renderer(folder.prompt_settings)
        self._folder = folder
        self._head, self._heading = _escape(renderer.head()), _escape(renderer.heading())
        self._items = [_escape(renderer.item(item)) for item in folder.items]
        values = map(renderer.text_values, folder.items)
        texts = map(renderer.text_lines, map(renderer.first_words, values))
        self._texts = [_escape(text) for text in texts]
        self._tags, self._versions = [""], np.zeros(len(folder.ratings), dtype=np.int64)
        if folder.tags is not None:
            lines = (renderer.text_line(TAGS, t) for t in renderer.first_words(folder.tags.texts))
            known, self._tags = folder.ratings, [_escape(line) for line in lines]
            self._versions = folder.tags.before(known.item_idx, known.timestamp)
        ratings = _ratings_by_stored(folder).items()
        self._ratings = {stored: _escape(renderer.rating(rating)) for stored, rating in ratings}
        self._before = _escape(renderer.before_candidate())
        self._question = _escape(renderer.question())
        self._answers = {liked: _escape(renderer.answer(liked)) for liked in (True, False)}
        if form == "chat":
            self._row = (
                '{"messages":[{"role":"user","content":"%s%s"},'
                '{"role":"assistant","content":"%s"}]}'
            )
        else:
            self._row = '{"instruction":"%s","input":"%s","output":"%s"}'

    def rows(self, split: str) -> Iterator[str]:
        """Yield every example of one split as a JSON object."""
        timelines, examples = self._folder.timelines, self._folder.examples(split)
        for start, target in zip(examples.start.tolist(), examples.target.tolist(), strict=True):
            ratings = timelines.rating[start:target].tolist()
            *items, candidate = timelines.item_idx[start : target + 1].tolist()
            pieces = (
                self._ratings[r] + self._items[i] for r, i in zip(ratings, items, strict=True)
            )
            tags = self._tags[self._versions[target]]
            shown = self._items[candidate] + self._texts[candidate] + tags
            rest = "".join((*pieces, self._before, shown, self._question))
            head = self._head + (self._heading if items else "")
            yield self._row % (head, rest, self._answers[bool(timelines.liked[target])])


def _raw_rows(folder: PreparedFolder) -> Iterator[str]:
    """Yield every test example without its prompt: ids, titles, years, ratings, times, label."""
    timelines, items, examples = folder.timelines, folder.items, folder.examples(TEST)
    ratings = _ratings_by_stored(folder)
    for start, target in zip(examples.start.tolist(), examples.target.tolist(), strict=True):
        *shown, candidate = (items[i] for i in timelines.item_idx[start : target + 1].tolist())
        row: dict[str, Any] = {
            "user_id": folder.user_ids.id(int(timelines.user_id[target])),
            "item_id": candidate.item_id,
            "title": candidate.title,
            "year": candidate.year,
            "rating": ratings[float(timelines.rating[target])],
            "timestamp": int(timelines.timestamp[target]),
            "label": Renderer.answer(bool(timelines.liked[target])),
            "history": {
                "item_id": [item.item_id for item in shown],
                "title": [item.title for item in shown],
                "year": [item.year for item in shown],
                "rating": [ratings[stored] for stored in timelines.rating[start:target].tolist()],
                "timestamp": timelines.timestamp[start:target].tolist(),
            },
        }
        yield json.dumps(row, ensure_ascii=False)


def _ratings_by_stored(folder: PreparedFolder) -> dict[float, float]:
    """Return the ratings of the scale by the number that 32 bits make of each."""
    return {float(np.float32(rating)): rating for rating in folder.prompt_settings.scale.ratings()}


def _escape(text: str) -> str:
    """Return text as the content of a JSON string, without the quotes."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _write(
    path: Path, rows: Iterator[str], advance: Callable[[int], None], *, array: bool = True
) -> int:
    """Write JSON values, a line each, as one array or each for itself; return their number."""
    count, separator = 0, "," if array else ""
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("[\n" if array else "")
        for count, row in enumerate(rows, 1):
            stream.write(f"{separator}\n{row}" if count > 1 else row)
            if not count % _REPORTED_ROWS:
                advance(_REPORTED_ROWS)
        stream.write("\n" if count else "")
        stream.write("]\n" if array else "")
    advance(count % _REPORTED_ROWS)
    return count
