"""How much one pass computes: as much as this model does on this machine in a given time."""

from __future__ import annotations

from typing import Final

_KEPT: Final = 0.8
"""How much of what was known before counts beside a new pass: about the last five passes count."""

_MOMENT: Final = 0.05
"""How long the first to ask waits for others, as a share of a pass; at most in seconds, too."""


class Pace:
    """Learns how fast passes are.

    Nobody who comes during a pass is answered before it ends. Small passes keep that short; larger
    ones cost less for each token where a pass costs something besides its tokens.

    Args:
        seconds: How long a pass should take.
        most_tokens: More than this is never computed at once, so a pass need not be larger.
    """

    def __init__(self, seconds: float, most_tokens: int) -> None:
        self._seconds = seconds
        self._most_tokens = most_tokens
        self._computed = 0.0
        self._took = 0.0
        self._passes = 0.0

    @property
    def tokens(self) -> int:
        """How many tokens the next pass should have; at first, when nothing is known, few."""
        if not self._took:
            return 1
        return max(1, min(self._most_tokens, int(self._seconds * self._computed / self._took)))

    @property
    def moment(self) -> float:
        """How many seconds the first to ask should wait for others.

        Clients who were answered together ask again together, but not at the very same time. If a
        pass began with the first of them, the others would have to wait for its end.
        """
        return min(_MOMENT, _MOMENT * self._took / self._passes) if self._passes else 0.0

    def passed(self, tokens: int, seconds: float) -> None:
        """Learn from a pass.

        Args:
            tokens: How many it had.
            seconds: How long it took.
        """
        self._computed = _KEPT * self._computed + tokens
        self._took = _KEPT * self._took + seconds
        self._passes = _KEPT * self._passes + 1
