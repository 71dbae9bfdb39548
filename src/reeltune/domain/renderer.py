"""The one renderer: the only place that owns the words of the prompt.

Preparation, length check, training, evaluation and everything that asks the model call it. It is
plain text and needs no library. A prompt is built from pieces, and each piece is cut where
tokenizers cut by themselves (see :mod:`reeltune.prompts.pieces`), so that a film has to be
tokenized only once however many prompts show it::

    head       instruction, then the heading of the history
    4.5:       the stars of one event
     Heat (1995)      the film of one event, with its line break
    Film to judge:    before the candidate
     Fargo (1996)     the candidate: the same piece a history line uses
    Yes or No?        the question

That is the *window*: a history, then one candidate, in one user turn. The *interview* puts the same
events as a conversation, in which every film is itself a question that was asked and answered::

    user       instruction, then "First:" and a film
    assistant  Yes
    user       4.5 stars. Next: a film
    assistant  ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reeltune.domain.item import Item, plain_text
from reeltune.domain.prompt_settings import (
    CHANCE_STEPS,
    COUNTS,
    INTERVIEW,
    SIGNALS,
    WINDOW,
    PromptSettings,
    SignalKind,
)
from reeltune.domain.rating_scale import format_rating

YES: Final = "Yes"
NO: Final = "No"


class Renderer:
    """Renders examples as text. Two renderers with equal settings give equal text.

    Args:
        settings: What the words depend on.
    """

    def __init__(self, settings: PromptSettings) -> None:
        self.settings = settings

    def head(self) -> str:
        """Return the instruction and what leads to the first film."""
        s = self.settings
        scale = (
            f"Users rate films from {format_rating(s.scale_min)} to {format_rating(s.scale_max)} "
            f"stars; liking a film means rating it {format_rating(s.threshold)} or higher. Answer "
            "Yes or No"
        )
        if s.form == INTERVIEW:
            return (
                f"Predict, film after film, whether a user will like the next one. {scale}; after "
                f"each answer you are told the stars.{self._promised('Under each film')}\nFirst:"
            )
        return (
            f"Predict whether a user will like a film. {scale}."
            f"{self._promised('Under the film to judge')}\n"
            "Films this user has rated, oldest first, each after its stars:\n"
        )

    def rating(self, rating: float) -> str:
        """Return how stars are told.

        In a window they begin the film's own line; in an interview they begin the user's turn after
        the film was judged, and lead to the next film.
        """
        text = format_rating(rating)
        return f"{text} stars. Next:" if self.settings.form == INTERVIEW else f"{text}:"

    def item(self, item: Item) -> str:
        """Return a film as it stands in the history and as a candidate, with its line break."""
        text = f" {plain_text(item.title) or 'Untitled'}"
        if item.year is not None:
            text += f" ({item.year})"
        if self.settings.genres and item.genres:
            text += f" [{', '.join(plain_text(genre) for genre in item.genres)}]"
        return text + "\n"

    def signals_lines(self, kind: SignalKind) -> list[str]:
        """Return everything that one kind of signals can say, each with its line break.

        Shares: by the entry of :data:`COUNTS`, and within one by steps of 5 %. Stars: by tenths.
        """
        shares = range(0, 100 + 5, 5)
        if kind == "expected":
            return [f"Expected {step}%\n" for step in range(CHANCE_STEPS)]
        if kind == "recent":
            return [f"Lately {share}%\n" for share in shares]
        whose = "Others" if kind == "film" else "User"
        return [
            f"{whose} {share}% of {count}\n" if count else f"{whose} none\n"
            for count in COUNTS
            for share in shares
        ]

    def _promised(self, where: str) -> str:
        told = [SIGNALS[kind] for kind in self.settings.signals]
        return f" {where} you are told {', then '.join(told)}." if told else ""

    def before_candidate(self) -> str:
        """Return what stands between the history and the candidate."""
        return "" if self.settings.form == INTERVIEW else "Film to judge:"

    def question(self) -> str:
        """Return what follows the candidate in the user's turn."""
        return "" if self.settings.form == INTERVIEW else "Yes or No?"

    def turns(
        self, history: Sequence[tuple[float, Item]], candidate: Item, told: Sequence[str] = ()
    ) -> list[str]:
        """Return what is said, the user's turns and the model's answers in turn, the user's last.

        Args:
            history: Stars and film of each event shown, oldest first.
            candidate: The film to judge.
            told: The signals on the film of each event and on the candidate, which comes last; a
                window tells that of the candidate alone. Nothing where there is no signals.
        """
        signals = told or [""] * (len(history) + 1)
        last = f"{self.before_candidate()}{self.item(candidate)}{signals[-1]}{self.question()}"
        if self.settings.form == WINDOW:
            lines = (self.rating(rating) + self.item(item) for rating, item in history)
            return ["".join((self.head(), *lines, last))]
        said, lead = [], self.head()
        for (rating, item), lines in zip(history, signals[:-1], strict=True):
            said += [lead + self.item(item) + lines, self.answer(self.likes(rating))]
            lead = self.rating(rating)
        return [*said, lead + last]

    def likes(self, rating: float) -> bool:
        """Return whether stars amount to liking a film."""
        return rating >= self.settings.threshold

    @staticmethod
    def answer(liked: bool) -> str:
        """Return the word the model is to answer."""
        return YES if liked else NO
