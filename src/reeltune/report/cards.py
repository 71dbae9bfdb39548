"""Notable rows as cards: history, predictions and truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reeltune.evaluation.result import Example, PastEvent
from reeltune.report.roles import Role, Roles
from reeltune.report.tables import number

RECENT: Final = 5
"""Events of a history that are always visible; the earlier ones unfold."""


@dataclass(frozen=True)
class Bar:
    """The prediction of one scorer.

    Attributes:
        role: The scorer's role.
        scorer: Its name.
        p_yes: P(Yes), formatted.
        width: P(Yes) in percent of the bar.
        threshold: The scorer's threshold in percent of the bar.
        answer: Yes or No.
        right: Whether that is the true answer.
    """

    role: Role
    scorer: str
    p_yes: str
    width: str
    threshold: str
    answer: str
    right: bool


@dataclass(frozen=True)
class Card:
    """One example with its predictions; earlier events unfold, recent ones are always visible."""

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
    yes = p_yes >= threshold
    return Bar(
        role=role,
        scorer=scorer,
        p_yes=number(p_yes),
        width=f"{p_yes:.2%}",
        # A scorer that never predicts Yes has its threshold beyond the bar.
        threshold=f"{min(max(threshold, 0), 1):.2%}",
        answer=_answer(yes),
        right=yes == liked,
    )


def _answer(liked: bool) -> str:
    return "Yes" if liked else "No"
