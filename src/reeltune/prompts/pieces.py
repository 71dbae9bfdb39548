"""Prompts as token ids, assembled from pieces that are tokenized once per film.

The pieces are those of :mod:`reeltune.prompts.renderer`. Whether assembling gives the same ids as
tokenizing the whole rendered string is proven for every film (:func:`differing_films`); where it
does not hold, prompts are tokenized whole instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import Examples, Timelines
from reeltune.prompts.chat import AnswerTokens, ChatFrame, answer_tokens, chat_frame, encode
from reeltune.prompts.renderer import Film, Renderer
from reeltune.ragged import Ragged, concatenate, join, repeat_row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STAR_STEPS: Final = np.arange(0, 11, dtype=np.float32) / 2
"""Every rating a MovieLens scale can hold; row ``2 * stars`` of the stars pieces."""

_ASSEMBLE_ROWS: Final = 8192


@dataclass(frozen=True)
class Pieces:
    """The parts of every prompt over one list of films; each part is a row of units.

    The units are token ids, or whatever else is to be counted: all that assembling asks is that a
    prompt's units are the units of its parts, one after another.

    Attributes:
        head: From the start of the prompt to the first history line.
        stars: One row per entry of :data:`STAR_STEPS`.
        films: One row per film.
        before_candidate: Between the history and the candidate.
        tail: From the candidate to where the answer begins.
    """

    head: npt.NDArray[np.int32]
    stars: Ragged
    films: Ragged
    before_candidate: npt.NDArray[np.int32]
    tail: npt.NDArray[np.int32]

    def event_lines(self, timelines: Timelines) -> Ragged:
        """Return the history line of every event: one row per event."""
        steps = np.rint(timelines.stars * 2).astype(np.int64)
        return join(self.stars.take(steps), self.films.take(timelines.film_row))

    def assemble(self, timelines: Timelines, examples: Examples) -> Ragged:
        """Return the prompt of every example, up to where the answer begins.

        A history is a contiguous stretch of events, so its lines are one slice of the event lines.
        """
        lines = self.event_lines(timelines)
        batches = range(0, len(examples), _ASSEMBLE_ROWS)
        if not batches:
            return Ragged.from_rows([])
        return concatenate([self._batch(lines, timelines, examples, first) for first in batches])

    def _batch(self, lines: Ragged, timelines: Timelines, examples: Examples, first: int) -> Ragged:
        start = examples.start[first : first + _ASSEMBLE_ROWS]
        target = examples.target[first : first + _ASSEMBLE_ROWS]
        return join(
            repeat_row(self.head, len(start)),
            lines.spans(start, target),
            repeat_row(self.before_candidate, len(start)),
            self.films.take(timelines.film_row[target]),
            repeat_row(self.tail, len(start)),
        )

    def lengths(self, timelines: Timelines, examples: Examples) -> npt.NDArray[np.int64]:
        """Return the length of every prompt in units, without assembling it."""
        steps = np.rint(timelines.stars * 2).astype(np.int64)
        line = self.stars.lengths[steps] + self.films.lengths[timelines.film_row]
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(line)])
        fixed = len(self.head) + len(self.before_candidate) + len(self.tail)
        candidate = self.films.lengths[timelines.film_row[examples.target]]
        return before[examples.target] - before[examples.start] + candidate + fixed


class PromptTokens:
    """Turns examples into token ids for one tokenizer, one renderer and one list of films.

    Args:
        tokenizer: Any tokenizer with a chat template.
        renderer: The one renderer.
        films: The films of the edition, in ``film_row`` order.

    Attributes:
        frame: What the chat template sets around the user's words.
        answers: The ids of Yes, No and the end of the turn.
        differing: Films for which pieces and whole differ; empty means pieces are used.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, renderer: Renderer, films: Sequence[Film]
    ) -> None:
        self.tokenizer = tokenizer
        self.renderer = renderer
        self.frame: ChatFrame = chat_frame(tokenizer)
        self.answers: AnswerTokens = answer_tokens(tokenizer, self.frame)
        control = control_tokens(tokenizer)
        self.film_texts = [break_tokens(renderer.film(film), control) for film in films]
        self.pieces = self._tokenize_pieces()
        self.differing: list[Film] = [films[row] for row in self._differing_rows()]

    def prompts(self, timelines: Timelines, examples: Examples) -> Ragged:
        """Return the token ids of every example's prompt, up to where the answer begins."""
        if not self.differing:
            return self.pieces.assemble(timelines, examples)
        return Ragged.from_rows(self._encode_all(list(self.texts(timelines, examples))))

    def texts(self, timelines: Timelines, examples: Examples) -> Iterator[str]:
        """Yield the whole rendered prompt of every example."""
        stars = [self.renderer.stars(float(step)) for step in STAR_STEPS]
        steps = np.rint(timelines.stars * 2).astype(np.int64)
        for start, target in zip(examples.start, examples.target, strict=True):
            lines = (
                stars[steps[event]] + self.film_texts[timelines.film_row[event]]
                for event in range(start, target)
            )
            yield self._whole("".join(lines), self.film_texts[timelines.film_row[target]])

    def _whole(self, history: str, candidate: str) -> str:
        r = self.renderer
        return self.frame.wrap(
            f"{r.head()}{history}{r.before_candidate()}{candidate}{r.question()}"
        )

    def _tokenize_pieces(self) -> Pieces:
        r, encode_one = (
            self.renderer,
            lambda text: np.asarray(encode(self.tokenizer, text), dtype=np.int32),
        )
        return Pieces(
            head=encode_one(self.frame.before + r.head()),
            stars=Ragged.from_rows([encode_one(r.stars(float(step))) for step in STAR_STEPS]),
            films=Ragged.from_rows(self._encode_all(self.film_texts)),
            before_candidate=encode_one(r.before_candidate()),
            tail=encode_one(r.question() + self.frame.after),
        )

    def _differing_rows(self) -> list[int]:
        """Return the films whose pieces do not add up to the whole.

        Each film is shown in every place a film can stand: in a line before another line, in the
        last line of the history, and as the candidate. The stars go through the whole scale.
        """
        count, steps = len(self.film_texts), len(STAR_STEPS)
        star_texts = [self.renderer.stars(float(step)) for step in STAR_STEPS]
        texts = [
            self._whole(f"{star_texts[i % steps]}{film}{star_texts[-1 - i % steps]}{film}", film)
            for i, film in enumerate(self.film_texts)
        ]
        rows = np.arange(count)
        line_1 = join(self.pieces.stars.take(rows % steps), self.pieces.films)
        line_2 = join(self.pieces.stars.take(steps - 1 - rows % steps), self.pieces.films)
        pieced = join(
            repeat_row(self.pieces.head, count),
            line_1,
            line_2,
            repeat_row(self.pieces.before_candidate, count),
            self.pieces.films,
            repeat_row(self.pieces.tail, count),
        )
        whole = self._encode_all(texts)
        return [i for i in range(count) if whole[i] != pieced[i].tolist()]

    def _encode_all(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        return encode_batch(self.tokenizer, texts)


def encode_batch(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Return the ids of many texts; tokenizers share the work among the processor's cores."""
    return tokenizer(texts, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportReturnType]


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the added tokens that hold punctuation: those a title must never produce."""
    return [
        token
        for token in tokenizer.get_added_vocab()  # pyright: ignore
        if len(token) > 1 and any(unicodedata.category(c)[0] in "PS" for c in token)
    ]


def break_tokens(text: str, tokens: Sequence[str]) -> str:
    """Set a space after the first character of every control token a film's text contains.

    The renderer has already broken what is shaped like ``<|im_end|>``; this breaks the forms only a
    given tokenizer knows, such as ``[INST]``.
    """
    for token in tokens:
        if token in text:
            # Looking ahead also finds occurrences that overlap.
            text = re.sub(f"{re.escape(token[0])}(?={re.escape(token[1:])})", r"\g<0> ", text)
    return text


def char_pieces(renderer: Renderer, films: Sequence[Film]) -> Pieces:
    """Return pieces whose units are characters, for lengths without a tokenizer.

    Only their lengths mean anything: the units themselves are zeros.
    """

    def row(text: str) -> npt.NDArray[np.int32]:
        return np.zeros(len(text), dtype=np.int32)

    return Pieces(
        head=row(renderer.head()),
        stars=Ragged.from_rows([row(renderer.stars(float(step))) for step in STAR_STEPS]),
        films=Ragged.from_rows([row(renderer.film(film)) for film in films]),
        before_candidate=row(renderer.before_candidate()),
        tail=row(renderer.question()),
    )
