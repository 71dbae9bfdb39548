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

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

PROMPT_VERSION: Final = "5"
"""Changes whenever a rendered prompt changes, be it by what evidence is made of; stored with every
cache and every adapter."""

YES: Final = "Yes"
NO: Final = "No"

# What chat templates use to mark turns: <|im_end|>, <s>, </think>, <start_of_turn>.
_ANGLE_TOKEN = re.compile(r"<(?=[|/]?[\w|]+[^<>]*>)")


Form = Literal["window", "interview"]
"""How an example is put into words; see the top of this file."""

WINDOW: Final[Form] = "window"
INTERVIEW: Final[Form] = "interview"

Evidence = Literal["film", "user", "recent", "expected"]
"""What may be told of a film that is asked about, each in a line of its own:

* ``film``: what share of how many other users liked it;
* ``user``: what share of how many films the user has liked so far;
* ``recent``: what share of the newest of them;
* ``expected``: how likely a like is to be expected, from all earlier events of the user and from
  how others rate those films and this one.
"""

EVIDENCE: Final[dict[Evidence, str]] = {
    "film": "the share of other users who liked it and how many rated it",
    "user": "the share of films this user has liked so far and how many they are",
    "recent": "that share of the newest ones",
    "expected": "how likely this user is expected to like it",
}
"""What the instruction calls each kind, in the order they are told in."""

SHARE_STEPS: Final = 21
"""Shares are told in steps of 5 %."""

COUNTS: Final = (0, *(base * 10**power for power in range(6) for base in (1, 2, 5)))
"""Numbers of ratings are told rounded down to one of these."""

CHANCE_STEPS: Final = 101
"""How likely a like is to be expected is told in steps of 1 %."""


class Film(NamedTuple):
    """One film of an edition."""

    film_id: int
    title: str
    year: int | None
    genres: tuple[str, ...]


@dataclass(frozen=True)
class PromptSettings:
    """What changes the words of a prompt; stored with prepared data and with every adapter.

    Attributes:
        threshold: Stars from which a film counts as liked.
        scale_min: The fewest stars the edition's scale allows.
        scale_max: The most stars the edition's scale allows.
        genres: Whether a film is shown with its genres.
        form: ``window``: a history, then one candidate, in one user turn; ``interview``: a
            conversation in which every past event was asked and answered.
        evidence: What is told of each film that is asked about, in the order of :data:`EVIDENCE`.
        version: The version of the wording.
    """

    threshold: float = 4.0
    scale_min: float = 0.5
    scale_max: float = 5.0
    genres: bool = False
    form: Form = WINDOW
    evidence: tuple[Evidence, ...] = ()
    version: str = PROMPT_VERSION

    @property
    def step(self) -> float:
        """From one number of stars to the next: every edition's scale begins with its step."""
        return self.scale_min

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON."""
        return {**asdict(self), "evidence": list(self.evidence)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PromptSettings:
        """Rebuild settings from :meth:`to_dict`."""
        return cls(**{**values, "evidence": tuple(values.get("evidence", ()))})


def plain_text(text: str) -> str:
    """Make a title safe to stand inside a prompt: one line, nothing that marks a turn.

    Titles are untrusted. Line breaks and other control characters become single spaces, and a
    space is set after the ``<`` of anything shaped like a control token, so that no tokenizer reads
    ``<|im_end|>`` in a title as the end of a turn.
    """
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    return _ANGLE_TOKEN.sub("< ", " ".join("".join(kept).split()))


def format_stars(stars: float) -> str:
    """Return stars as the prompt shows them, always with one decimal: ``4.5``, ``3.0``."""
    return f"{stars:.1f}"


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
            f"Users rate films from {format_stars(s.scale_min)} to {format_stars(s.scale_max)} "
            f"stars; liking a film means rating it {format_stars(s.threshold)} or higher. Answer "
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

    def stars(self, stars: float) -> str:
        """Return how stars are told.

        In a window they begin the film's own line; in an interview they begin the user's turn after
        the film was judged, and lead to the next film.
        """
        text = format_stars(stars)
        return f"{text} stars. Next:" if self.settings.form == INTERVIEW else f"{text}:"

    def film(self, film: Film) -> str:
        """Return a film as it stands in the history and as a candidate, with its line break."""
        text = f" {plain_text(film.title) or 'Untitled'}"
        if film.year is not None:
            text += f" ({film.year})"
        if self.settings.genres and film.genres:
            text += f" [{', '.join(plain_text(genre) for genre in film.genres)}]"
        return text + "\n"

    def evidence_lines(self, kind: Evidence) -> list[str]:
        """Return everything that one kind of evidence can say, each with its line break.

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
        told = [EVIDENCE[kind] for kind in self.settings.evidence]
        return f" {where} you are told {', then '.join(told)}." if told else ""

    def before_candidate(self) -> str:
        """Return what stands between the history and the candidate."""
        return "" if self.settings.form == INTERVIEW else "Film to judge:"

    def question(self) -> str:
        """Return what follows the candidate in the user's turn."""
        return "" if self.settings.form == INTERVIEW else "Yes or No?"

    def turns(
        self, history: Sequence[tuple[float, Film]], candidate: Film, told: Sequence[str] = ()
    ) -> list[str]:
        """Return what is said, the user's turns and the model's answers in turn, the user's last.

        Args:
            history: Stars and film of each event shown, oldest first.
            candidate: The film to judge.
            told: The evidence on the film of each event and on the candidate, which comes last; a
                window tells that of the candidate alone. Nothing where there is no evidence.
        """
        evidence = told or [""] * (len(history) + 1)
        last = f"{self.before_candidate()}{self.film(candidate)}{evidence[-1]}{self.question()}"
        if self.settings.form == WINDOW:
            lines = (self.stars(stars) + self.film(film) for stars, film in history)
            return ["".join((self.head(), *lines, last))]
        said, lead = [], self.head()
        for (stars, film), lines in zip(history, evidence[:-1], strict=True):
            said += [lead + self.film(film) + lines, self.answer(self.likes(stars))]
            lead = self.stars(stars)
        return [*said, lead + last]

    def likes(self, stars: float) -> bool:
        """Return whether stars amount to liking a film."""
        return stars >= self.settings.threshold

    @staticmethod
    def answer(liked: bool) -> str:
        """Return the word the model is to answer."""
        return YES if liked else NO
