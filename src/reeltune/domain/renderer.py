"""The renderer: the only module that knows the sentences of the prompt.

The words for items and ratings are those of a :class:`reeltune.domain.words.Domain`, here of films.

A prompt is a row of pieces that begin and end where tokenizers split text anyway, so each item is
tokenized once (:mod:`reeltune.prompts.pieces`). The *window*::

    head              instruction
    Films this ...    the heading of the history; only if there is one
    4.5:              the rating of one event
     Heat (1995)      the item of one event, with its line break
    Film to judge:    before the candidate
     Fargo (1996)     the candidate: as in a history line, and the lines of its text below it
    Yes or No?        the question

The *interview* shows the same events as a conversation with one question per item::

    user       instruction, then "First:" and an item
    assistant  Yes
    user       4.5 stars. Next: an item
    assistant  ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from reeltune.domain.context_lines import (
    GP_HYPERPARAMETERS,
    RENAMED_SIGNALS,
    SIGNALS,
    ContextKind,
    GPHyperparameters,
    SignalKind,
)
from reeltune.domain.items import Item, RatingScale, plain_text
from reeltune.domain.words import FILM, Domain, RatingWords, capitalized

PROMPT_VERSION: Final = "5"
"""Changes with every change of a rendered prompt or of how a signal is computed; stored with every
cache and every adapter."""

Form = Literal["window", "interview"]

WINDOW: Final[Form] = "window"
INTERVIEW: Final[Form] = "interview"

YES: Final = "Yes"
NO: Final = "No"

ITEM_TEXT_TOKENS: Final = 32
"""Tokens shown of a column of item text, unless the configuration says otherwise."""


@dataclass(frozen=True)
class PromptSettings:
    """The settings a prompt depends on; stored with prepared data and with every adapter.

    Attributes:
        threshold: The lowest rating that counts as a like.
        scale_step: The distance of two ratings; None if it is ``scale_min``, as in every edition of
            MovieLens.
        genres: Whether items are shown with their genres.
        signals: The signals shown under items, in the order of :data:`SIGNALS`.
        domain: The words for items and ratings.
        item_text: The columns of the items' text shown under items, a line each.
        item_text_tokens: The most tokens of each of these texts.
        gaussian_process: What ``expected`` is computed with.
        auxiliary: The checksum of the auxiliary ratings behind the signals; None without any.
    """

    threshold: float = 4.0
    scale_min: float = 0.5
    scale_max: float = 5.0
    genres: bool = False
    form: Form = WINDOW
    signals: tuple[SignalKind, ...] = ()
    item_text: tuple[str, ...] = ()
    item_text_tokens: int = ITEM_TEXT_TOKENS
    version: str = PROMPT_VERSION
    domain: Domain = FILM
    gaussian_process: GPHyperparameters = GP_HYPERPARAMETERS
    scale_step: float | None = None
    auxiliary: str | None = None

    @property
    def scale(self) -> RatingScale:
        """The ratings of the data."""
        step = self.scale_min if self.scale_step is None else self.scale_step
        return RatingScale(self.scale_min, self.scale_max, step)

    @property
    def rating_words(self) -> RatingWords:
        """How ratings are said."""
        return RatingWords(self.domain, self.scale)

    @property
    def context(self) -> tuple[ContextKind, ...]:
        """The kinds of context lines under an item, in their order."""
        return tuple(SIGNALS[signal] for signal in self.signals)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON; the newer keys only if not the default."""
        values = {
            **asdict(self),
            "signals": list(self.signals),
            "domain": self.domain.to_dict(),
            "item_text": list(self.item_text),
        }
        absent = {"domain"} if self.domain == FILM else set()
        absent |= set() if self.item_text else {"item_text", "item_text_tokens"}
        absent |= {"gaussian_process"} if self.gaussian_process == GP_HYPERPARAMETERS else set()
        absent |= {name for name in ("scale_step", "auxiliary") if getattr(self, name) is None}
        return {key: value for key, value in values.items() if key not in absent}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PromptSettings:
        """Return settings from :meth:`to_dict`, or from an earlier version.

        Version 0.1 called the signals ``evidence``, or had no such key.
        """
        known = dict(values)
        signals: Any = known.pop("signals", known.pop("evidence", ()))
        signals = tuple(RENAMED_SIGNALS.get(name, name) for name in signals)
        domain = Domain.from_dict(known.pop("domain")) if "domain" in known else FILM
        columns = tuple(known.pop("item_text", ()))
        process = GPHyperparameters.from_dict(known.pop("gaussian_process", {}))
        return cls(
            **known,
            signals=signals,
            domain=domain,
            item_text=columns,
            gaussian_process=process,
        )


class Renderer:
    """Renders examples as text. Renderers with equal settings give equal text."""

    def __init__(self, settings: PromptSettings) -> None:
        self.settings = settings
        self._words = settings.rating_words

    def head(self) -> str:
        """Return the instruction, up to the first item or to the heading of the history."""
        domain, words = self.settings.domain, self._words
        scale = f"{words.instruction(self.settings.threshold)}. Answer Yes or No"
        if self.settings.form == INTERVIEW:
            return (
                f"Predict, {domain.item} after {domain.item}, whether a user will {domain.like} "
                f"the next one. {scale}; after each answer you are told the {words.noun}."
                f"{self._announcement(f'Under each {domain.item}')}\nFirst:"
            )
        return (
            f"Predict whether a user will {domain.like} {domain.an_item}. {scale}."
            f"{self._announcement(f'Under the {domain.item} to judge')}\n"
        )

    def heading(self) -> str:
        """Return the heading of the history. A prompt without history has none."""
        if self.settings.form == INTERVIEW:
            return ""
        items = capitalized(self.settings.domain.items)
        return f"{items} this user has rated, oldest first, each after its {self._words.noun}:\n"

    def rating(self, rating: float) -> str:
        """Return the text of a rating: before its item in a window, after it in an interview."""
        if self.settings.form == INTERVIEW:
            return f"{capitalized(self._words.said(rating))}. Next:"
        return f"{self._words.label(rating)}:"

    def item(self, item: Item) -> str:
        """Return the text of an item, in the history and as a candidate, with its line break."""
        text = f" {plain_text(item.title) or 'Untitled'}"
        if item.year is not None:
            text += f" ({item.year})"
        if self.settings.genres and item.genres:
            text += f" [{', '.join(plain_text(genre) for genre in item.genres)}]"
        return text + "\n"

    def _announcement(self, where: str) -> str:
        kinds = [f"its {_label(column)}" for column in self.settings.item_text]
        kinds += [kind.announced(self.settings.domain) for kind in self.settings.context]
        return f" {where} you are told {', then '.join(kinds)}." if kinds else ""

    def text_values(self, item: Item) -> list[str]:
        """Return the whole text of an item, column by column; empty without any."""
        return [plain_text(text) for text in item.text]

    def text_lines(self, values: Sequence[str]) -> str:
        """Return the lines of an item's text, given :meth:`text_values`, cut or not."""
        return "".join(map(self.text_line, self.settings.item_text, values))

    @staticmethod
    def text_line(column: str, value: str) -> str:
        """Return the line of a text; none if it is empty."""
        return f"{capitalized(_label(column))}: {value}\n" if value else ""

    def first_words(self, values: Sequence[str]) -> list[str]:
        """Return texts cut to as many words as they may have tokens.

        A word has at least one token, so a cut by a tokenizer is never longer.
        """
        limit = self.settings.item_text_tokens
        return [" ".join(text.split(" ")[:limit]) for text in values]

    def before_candidate(self) -> str:
        """Return the text between the history and the candidate."""
        if self.settings.form == INTERVIEW:
            return ""
        return f"{capitalized(self.settings.domain.item)} to judge:"

    def question(self) -> str:
        """Return the text after the candidate in the user message."""
        return "" if self.settings.form == INTERVIEW else "Yes or No?"

    def turns(
        self,
        history: Sequence[tuple[float, Item]],
        candidate: Item,
        context: Sequence[str] = (),
    ) -> list[str]:
        """Return the messages of the conversation, user and assistant alternating, user last.

        Args:
            history: Rating and item of each event shown, oldest first.
            candidate: The item to predict.
            context: One text per event and one for the candidate, with the context lines under
                each item; a window shows the candidate's only. Empty without context lines.

        Without a tokenizer, an item's text is cut to :meth:`first_words`.
        """
        context = context or [""] * (len(history) + 1)
        text = self.text_lines(self.first_words(self.text_values(candidate)))
        shown = f"{self.item(candidate)}{text}{context[-1]}"
        last = f"{self.before_candidate()}{shown}{self.question()}"
        if self.settings.form == WINDOW:
            lines = [self.rating(rating) + self.item(item) for rating, item in history]
            heading = self.heading() if history else ""
            return ["".join((self.head(), heading, *lines, last))]
        messages, lead = [], self.head()
        for (rating, item), lines in zip(history, context[:-1], strict=True):
            text = self.text_lines(self.first_words(self.text_values(item)))
            messages += [lead + self.item(item) + text + lines, self.answer(self.likes(rating))]
            lead = self.rating(rating)
        return [*messages, lead + last]

    def likes(self, rating: float) -> bool:
        """Return whether a rating counts as a like."""
        return rating >= self.settings.threshold

    @staticmethod
    def answer(liked: bool) -> str:
        """Return the answer for a label."""
        return YES if liked else NO


def _label(column: str) -> str:
    """Return a column's name as prompts show it: ``num_pages`` as ``num pages``."""
    return plain_text(column.replace("_", " "))
