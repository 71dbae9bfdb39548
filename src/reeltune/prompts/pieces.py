"""Prompts as token ids, assembled from pieces that are tokenized once per item.

:mod:`reeltune.prompts.proof` checks for every item that assembling gives the ids of the whole text.
If an item differs, all prompts are tokenized whole.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from reeltune.data.columns import TAGS
from reeltune.data.history import History
from reeltune.data.tags import ItemTags
from reeltune.data.timelines import Codes, Examples, Timelines
from reeltune.domain import HALF_STARS, Item, RatingScale, Renderer
from reeltune.errors import DataError
from reeltune.prompts.chat import AnswerTokens, ChatFrame, answer_tokens, chat_frame
from reeltune.prompts.encoding import break_tokens, control_tokens, encode, encode_rows
from reeltune.prompts.item_text import cut_column, cut_item_text
from reeltune.prompts.piece_texts import PieceTexts, piece_texts
from reeltune.prompts.proof import PiecesProof
from reeltune.ragged import Ragged, concatenate, join, offsets_of, repeat_row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ASSEMBLE_ROWS: Final = 8192


@dataclass(frozen=True)
class Pieces:
    """The pieces of every prompt over one list of items, in units: token ids, or characters.

    Attributes:
        head: From the start of the prompt to the heading of the history.
        heading: The heading of the history, if it has an event.
        before_item: The start of an event's line; one row per rating of the scale.
        items: One row per item, as history lines show it.
        candidate_items: One row per item, as a candidate: with the lines of its text.
        after_item: The end of an event's line; one row per rating of the scale.
        before_candidate: Between the history and the candidate.
        tail: From the candidate to where the answer begins.
        context: The texts of each kind of context line, one row per code.
        context_in_history: Whether history lines show context lines, too.
        scale: The ratings.

    Codes of context lines have shape ``(n, kinds)``; None is an error if prompts show any.
    """

    head: npt.NDArray[np.int32]
    heading: npt.NDArray[np.int32]
    before_item: Ragged
    items: Ragged
    candidate_items: Ragged
    after_item: Ragged
    before_candidate: npt.NDArray[np.int32]
    tail: npt.NDArray[np.int32]
    context: tuple[Ragged, ...] = ()
    context_in_history: bool = False
    scale: RatingScale = HALF_STARS

    def heads(self, events: npt.NDArray[np.integer]) -> Ragged:
        """Return the start of prompts up to the first event, given their numbers of events."""
        both = Ragged.from_rows([self.head, np.concatenate([self.head, self.heading])])
        return both.take((events > 0).astype(np.int64))

    def event_lines(self, timelines: Timelines) -> Ragged:
        """Return the history line of every event: one row per event."""
        return self.lines(self.steps(timelines.rating), timelines.item_idx, timelines.context)

    def lines(
        self,
        steps: npt.NDArray[np.integer],
        item_idx: npt.NDArray[np.integer],
        context: Codes | None = None,
    ) -> Ragged:
        """Return history lines of ``n`` ratings, given by their indices on the scale."""
        lines = self.context_lines(context) if self.context_in_history else []
        items = self.items.take(item_idx)
        return join(self.before_item.take(steps), items, *lines, self.after_item.take(steps))

    def steps(self, rating: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return the index of each rating on the scale, from 0 for the lowest."""
        return np.rint((rating - self.scale.min) / self.scale.step).astype(np.int64)

    def queries(self, item_idx: npt.NDArray[np.integer], context: Codes | None = None) -> Ragged:
        """Return the query for each item: from the history to where the answer begins."""
        lead = repeat_row(self.before_candidate, len(item_idx))
        return join(lead, self.candidates(item_idx, context))

    def candidates(self, item_idx: npt.NDArray[np.integer], context: Codes | None = None) -> Ragged:
        """Return candidates with their context lines, up to where the answer begins."""
        tail = repeat_row(self.tail, len(item_idx))
        return join(self.candidate_items.take(item_idx), *self.context_lines(context), tail)

    def context_lines(self, context: Codes | None) -> list[Ragged]:
        """Return the context lines of each kind, one row per item."""
        columns = self.code_columns(context)
        return [lines.take(codes) for lines, codes in zip(self.context, columns, strict=True)]

    def context_lengths(self, context: Codes | None) -> npt.NDArray[np.int64] | int:
        """Return the units of each item's context lines, shape ``(n,)``; 0 without any."""
        columns = self.code_columns(context)
        return sum(lines.lengths[codes] for lines, codes in zip(self.context, columns, strict=True))

    def code_columns(self, context: Codes | None) -> list[npt.NDArray[np.int16]]:
        """Return the codes of each kind, shape ``(n,)`` each.

        Raises:
            DataError: The codes are missing.
        """
        if not self.context:
            return []
        if context is None:
            raise DataError(
                f"the prompt shows {len(self.context)} context lines per item, and these events "
                "come without their codes",
                code="missing_context_codes",
                hint="Open the prepared data with reeltune.signals.folder.open_prepared",
            )
        return [context[:, kind] for kind in range(len(self.context))]

    def max_length(self, history_len: int) -> int:
        """Return the most units a prompt with so many events can have."""
        context = sum(int(lines.lengths.max()) for lines in self.context)
        item = int(self.items.lengths.max())
        line = int(self.before_item.lengths.max() + self.after_item.lengths.max()) + item
        line += context if self.context_in_history else 0
        around = len(self.head) + len(self.heading) + len(self.before_candidate) + len(self.tail)
        return around + history_len * line + int(self.candidate_items.lengths.max()) + context

    def assemble(self, timelines: Timelines, examples: Examples) -> Ragged:
        """Return the prompt of every example, up to where the answer begins."""
        lines = self.event_lines(timelines)
        batches = [Ragged.from_rows([])]
        for first in range(0, len(examples), _ASSEMBLE_ROWS):
            start = examples.start[first : first + _ASSEMBLE_ROWS]
            target = examples.target[first : first + _ASSEMBLE_ROWS]
            queries = self.queries(timelines.item_idx[target], timelines.context_of(target))
            batches.append(join(self.heads(target - start), lines.spans(start, target), queries))
        return concatenate(batches)

    def query_lengths(
        self, timelines: Timelines, events: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.int64]:
        """Return the length of the query for each of some events (:meth:`queries`)."""
        items = self.candidate_items.lengths[timelines.item_idx[events]]
        context = self.context_lengths(timelines.context_of(events))
        return len(self.before_candidate) + items + context + len(self.tail)

    def lengths(self, timelines: Timelines, examples: Examples) -> npt.NDArray[np.int64]:
        """Return the length of every prompt in units, without assembling it."""
        steps = self.steps(timelines.rating)
        line = (
            self.before_item.lengths[steps]
            + self.items.lengths[timelines.item_idx]
            + self.after_item.lengths[steps]
        )
        if self.context_in_history:
            line = line + self.context_lengths(timelines.context)
        before = offsets_of(line)
        history = before[examples.target] - before[examples.start]
        heads = self.heads(examples.target - examples.start).lengths
        return heads + history + self.query_lengths(timelines, examples.target)


class PromptTokens:
    """Turns examples into token ids, for one tokenizer and one list of items.

    Attributes:
        differing: Items for which pieces and whole texts differ; empty means pieces are used.
        item_texts: The text of each item in a history.
        candidate_texts: The text of each item as a candidate: with the lines of its text.
        tags: The texts of tags, if prompts show any.
        cut: How many items have a text that was cut, by column; of tags, how many texts.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        renderer: Renderer,
        items: Sequence[Item],
        tags: ItemTags | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.renderer = renderer
        self.frame: ChatFrame = chat_frame(tokenizer, renderer.settings.form)
        self.answers: AnswerTokens = answer_tokens(tokenizer, self.frame)
        control = control_tokens(tokenizer)
        self._encode = partial(encode, tokenizer)
        self._encode_all = partial(encode_rows, tokenizer)
        titles = [break_tokens(renderer.item(item), control) for item in items]
        values, self.cut = cut_item_text(renderer, items, control, self._encode_all)
        self.tags, tag_lines = tags, None
        if tags is not None:
            texts, self.cut[TAGS] = cut_column(renderer, tags.texts, control, self._encode_all)
            tag_lines = [renderer.text_line(TAGS, text) for text in texts]
        self._texts = piece_texts(renderer, self.frame, tag_lines)
        self.candidate_texts = [
            title + break_tokens(renderer.text_lines(text), control)
            for title, text in zip(titles, values, strict=True)
        ]
        self.item_texts = self.candidate_texts if self._texts.context_in_history else titles
        both = (self.item_texts, self.candidate_texts)
        self.pieces = _pieces(self._texts, renderer.settings.scale, *both, self._encode_all)
        self._items = items
        self.differing: list[Item] = self._differing()

    def _differing(self) -> list[Item]:
        tags_of = None if self.tags is None else self.tags.item_idx
        both = (self.item_texts, self.candidate_texts)
        proof = PiecesProof(
            self._texts, *both, self.pieces, self._encode, self._encode_all, tags_of
        )
        return [self._items[row] for row in proof.differing()]

    @cached_property
    def without_signals(self) -> PromptTokens:
        """The same prompts without any line of a signal, proven anew; the instruction is equal."""
        kept = int(self.tags is not None)  # the lines of tags are the first kind
        texts, ids = self._texts.context, self.pieces.context
        hidden = copy.copy(self)
        hidden._texts = replace(
            self._texts, context=(*texts[:kept], *([""] * len(lines) for lines in texts[kept:]))
        )
        no_ids = np.empty(0, np.int32)
        hidden.pieces = replace(
            self.pieces,
            context=(*ids[:kept], *(repeat_row(no_ids, len(lines)) for lines in ids[kept:])),
        )
        hidden.differing = hidden._differing()
        return hidden

    def describe_cut(self) -> list[str]:
        """Return a line for each column of item text: how many items have a text that was cut."""
        budget, items = self.renderer.settings.item_text_tokens, f"{len(self.item_texts):,} items"
        of = {} if self.tags is None else {TAGS: f"{len(self.tags.texts):,} texts"}
        return [
            f"item text, {column}: {cut:,} of {of.get(column, items)} cut to {budget} tokens"
            for column, cut in self.cut.items()
        ]

    def prompts(self, timelines: Timelines, examples: Examples) -> Ragged:
        """Return the token ids of every example's prompt, up to where the answer begins."""
        if not self.differing:
            return self.pieces.assemble(timelines, examples)
        return self._encode_all(list(self.texts(timelines, examples)))

    def candidate_prompts(
        self, history: History, candidates: npt.NDArray[np.int64], context: Codes | None = None
    ) -> Ragged:
        """Return the prompt of every candidate after one history, each tokenized whole."""
        lines = self._lines(history)
        context_texts = self._context_texts(context, len(candidates))
        shown = zip((self.candidate_texts[row] for row in candidates), context_texts, strict=True)
        return self._encode_all([self._texts.whole(lines, *candidate) for candidate in shown])

    def texts(self, timelines: Timelines, examples: Examples) -> Iterator[str]:
        """Yield the whole rendered prompt of every example."""
        context_texts = self._context_texts(timelines.context_of(examples.target), len(examples))
        spans = zip(examples.start.tolist(), examples.target.tolist(), context_texts, strict=True)
        for start, target, context in spans:
            user_id = int(timelines.user_id[target])
            history = History.from_timelines(timelines, range(start, target), user_id)
            lines = self._lines(history)
            candidate = self.candidate_texts[timelines.item_idx[target]]
            yield self._texts.whole(lines, candidate, context)

    def _lines(self, history: History) -> str:
        steps = self.pieces.steps(history.rating).tolist()
        items = [self.item_texts[row] for row in history.item_idx]
        if not self._texts.context_in_history:
            return "".join(map(self._texts.line, steps, items))
        context_texts = self._context_texts(history.context, len(history))
        return "".join(map(self._texts.line, steps, items, context_texts))

    def _context_texts(self, context: Codes | None, count: int) -> list[str]:
        columns = self.pieces.code_columns(context)
        if not columns:
            return [""] * count
        return [self._texts.context_text(one) for one in np.column_stack(columns).tolist()]


def char_pieces(renderer: Renderer, items: Sequence[Item], tags: ItemTags | None = None) -> Pieces:
    """Return pieces in characters, all zeros, to measure lengths without a tokenizer."""
    tag_lines = None
    if tags is not None:
        tag_lines = [renderer.text_line(TAGS, text) for text in renderer.first_words(tags.texts)]
    texts = piece_texts(renderer, ChatFrame(before="", after="", end=""), tag_lines)
    titles = [renderer.item(item) for item in items]
    candidates = [
        title + renderer.text_lines(renderer.first_words(renderer.text_values(item)))
        for title, item in zip(titles, items, strict=True)
    ]
    return _pieces(
        texts,
        renderer.settings.scale,
        candidates if texts.context_in_history else titles,
        candidates,
        lambda parts: Ragged.from_rows([np.zeros(len(part), np.int32) for part in parts]),
    )


def _pieces(
    texts: PieceTexts,
    scale: RatingScale,
    items: list[str],
    candidates: list[str],
    encode_all: Callable[[list[str]], Ragged],
) -> Pieces:
    shown = encode_all(items)
    head, heading, before_candidate, tail = encode_all(
        [texts.head, texts.heading, texts.before_candidate, texts.tail]
    )
    return Pieces(
        head=head,
        heading=heading,
        before_item=encode_all(texts.before_item),
        items=shown,
        candidate_items=shown if candidates == items else encode_all(candidates),
        after_item=encode_all(texts.after_item),
        before_candidate=before_candidate,
        tail=tail,
        context=tuple(encode_all(list(lines)) for lines in texts.context),
        context_in_history=texts.context_in_history,
        scale=scale,
    )
