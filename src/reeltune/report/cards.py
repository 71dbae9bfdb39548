"""Rows worth reading, as cards: what was shown, what was said, what was true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reeltune.evaluation.result import Example, PastEvent
from reeltune.report.formatting import number
from reeltune.report.roles import Role, Roles

RECENT: Final = 5
"""How many films of a history are shown at once; the earlier ones unfold."""


@dataclass(frozen=True)
class Bar:
    """One scorer's verdict.

    Attributes:
        role: Of the scorer.
        scorer: Its name.
        p_yes: P(Yes), for people.
        width: P(Yes) in percent of the bar.
        threshold: From where the scorer says Yes, in percent of the bar.
        says: Yes or No.
        right: Whether that is the true answer.
    """

    role: Role
    scorer: str
    p_yes: str
    width: str
    threshold: str
    says: str
    right: bool


@dataclass(frozen=True)
class Card:
    """One example.

    Attributes:
        example: As it was found.
        truth: The true answer.
        bars: The leads' verdicts.
        earlier: The films of the history that unfold, oldest first.
        recent: The films of the history that are always shown, oldest first.
    """

    example: Example
    truth: str
    bars: list[Bar]
    earlier: list[PastEvent]
    recent: list[PastEvent]


def cards(examples: list[Example], roles: Roles) -> list[Card]:
    """Return one card for each example."""
    return [
        Card(
            example,
            _answer(example.liked),
            [
                _bar(role, scorer.name, example.p_yes[scorer.name], scorer.threshold, example.liked)
                for role, scorer in roles.leads.items()
                if scorer.name in example.p_yes
            ],
            example.history[:-RECENT],
            example.history[-RECENT:],
        )
        for example in examples
    ]


def rating_width(rating: float) -> str:
    """Return how much of a row of five stars is filled, in percent."""
    return f"{min(max(rating / 5, 0), 1):.1%}"


def _bar(role: Role, scorer: str, p_yes: float, threshold: float, liked: bool) -> Bar:
    says = p_yes >= threshold
    return Bar(
        role=role,
        scorer=scorer,
        p_yes=number(p_yes),
        width=f"{p_yes:.2%}",
        # A scorer that never says Yes has its threshold beyond the bar.
        threshold=f"{min(max(threshold, 0), 1):.2%}",
        says=_answer(says),
        right=says == liked,
    )


def _answer(liked: bool) -> str:
    return "Yes" if liked else "No"
