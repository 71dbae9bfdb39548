"""The settings a prompt is rendered with, and the version of its wording."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from reeltune.domain.context_lines import SIGNALS, ContextKind, SignalKind
from reeltune.domain.items import RatingScale

PROMPT_VERSION: Final = "5"
"""Changes with every change of a rendered prompt or of how a signal is computed; stored with every
cache and every adapter."""

Form = Literal["window", "interview"]

WINDOW: Final[Form] = "window"
INTERVIEW: Final[Form] = "interview"


@dataclass(frozen=True)
class PromptSettings:
    """The settings a prompt depends on; stored with prepared data and with every adapter.

    Attributes:
        threshold: The lowest rating that counts as a like.
        scale_min: The lowest rating on the edition's scale.
        scale_max: The highest rating on the edition's scale.
        genres: Whether items are shown with their genres.
        form: ``window``: a history and one candidate in one user message; ``interview``: a
            conversation with one question and answer per past event.
        signals: The signals shown under items, in the order of :data:`SIGNALS`.
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

    @property
    def context(self) -> tuple[ContextKind, ...]:
        """The kinds of context lines under an item, in their order."""
        return tuple(SIGNALS[signal] for signal in self.signals)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON."""
        return {**asdict(self), "signals": list(self.signals)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PromptSettings:
        """Rebuild settings from :meth:`to_dict`, or from a file of version 0.1.

        That version called the signals ``evidence``, or had no such key.
        """
        known = dict(values)
        signals = known.pop("signals", known.pop("evidence", ()))
        return cls(**known, signals=tuple(signals))
