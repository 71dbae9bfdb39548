"""The settings a prompt is rendered with, and the version of its wording."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from reeltune.domain.rating_scale import RatingScale

PROMPT_VERSION: Final = "5"
"""Changes whenever a rendered prompt changes, be it by what signals is made of; stored with every
cache and every adapter."""

Form = Literal["window", "interview"]
"""How an example is put into words; see the top of this file."""

WINDOW: Final[Form] = "window"
INTERVIEW: Final[Form] = "interview"

SignalKind = Literal["film", "user", "recent", "expected"]
"""What may be told of a film that is asked about, each in a line of its own:

* ``item``: what share of how many other users liked it;
* ``user``: what share of how many films the user has liked so far;
* ``recent``: what share of the newest of them;
* ``expected``: how likely a like is to be expected, from all earlier events of the user and from
  how others rate those films and this one.
"""

SIGNALS: Final[dict[SignalKind, str]] = {
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
        signals: What is told of each film that is asked about, in the order of :data:`SIGNALS`.
        version: The version of the wording.
    """

    threshold: float = 4.0
    scale_min: float = 0.5
    scale_max: float = 5.0
    genres: bool = False
    form: Form = WINDOW
    signals: tuple[SignalKind, ...] = ()
    version: str = PROMPT_VERSION

    @property
    def scale(self) -> RatingScale:
        """The edition's ratings. The lowest rating of every edition equals its step."""
        return RatingScale(self.scale_min, self.scale_max, step=self.scale_min)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON."""
        return {**asdict(self), "signals": list(self.signals)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PromptSettings:
        """Rebuild settings from :meth:`to_dict`."""
        values = dict(values)
        # Settings written before version 0.2 call the signals "evidence".
        signals = values.pop("evidence", ())
        return cls(**{**values, "signals": tuple(values.get("signals", signals))})
