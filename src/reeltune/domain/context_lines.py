"""The kinds of lines a prompt can show under an item.

A kind is a closed list of texts; a *code* is an index into it. Everything between the computation
of a signal and the tokens handles codes only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from reeltune.domain.words import Domain

SignalKind = Literal["film", "user", "recent", "expected"]
"""The collaborative signals:

* ``film``: the share of other users who liked the item, and how many rated it;
* ``user``: the share of items the user has liked so far, and their number;
* ``recent``: the user's share of likes, with the newest events weighted most;
* ``expected``: the probability of a like, by a Gaussian process over the user's earlier events and
  other users' ratings.
"""

SHARE_STEPS: Final = 21  # of 5 %
CHANCE_STEPS: Final = 101  # of 1 %
COUNTS: Final = (0, *(base * 10**power for power in range(6) for base in (1, 2, 5)))
"""Counts are rounded down to one of these."""


@dataclass(frozen=True)
class ContextKind:
    """One kind of context line.

    Attributes:
        announcement: Its mention in the instruction, with the words of a domain in braces.
        lines: Every text it can have, each with its line break.
        shares: The share or probability each line states, kept half a step from 0 and from 1.
        counts: The index in :data:`COUNTS` of the count each line states; empty if it states none.
        example: A code for documentation.
    """

    name: str
    announcement: str
    lines: tuple[str, ...]
    shares: tuple[float, ...]
    counts: tuple[int, ...] = ()
    example: int = 0

    def announced(self, domain: Domain) -> str:
        """Return its mention in the instruction of a domain."""
        return self.announcement.format_map(vars(domain))


def _share_kind(
    name: SignalKind, announcement: str, label: str, steps: int, *, example: int
) -> ContextKind:
    return ContextKind(
        name=name,
        announcement=announcement,
        lines=tuple(f"{label} {100 * step // (steps - 1)}%\n" for step in range(steps)),
        shares=_shares(steps),
        example=example,
    )


def _counted_kind(name: SignalKind, announcement: str, label: str, *, example: int) -> ContextKind:
    """Return a kind that states a share and a count: code ``count * SHARE_STEPS + share``."""
    shares = range(0, 105, 5)
    return ContextKind(
        name=name,
        announcement=announcement,
        lines=tuple(
            f"{label} {share}% of {count}\n" if count else f"{label} none\n"
            for count in COUNTS
            for share in shares
        ),
        shares=_shares(SHARE_STEPS) * len(COUNTS),
        counts=tuple(index for index in range(len(COUNTS)) for _ in shares),
        example=example,
    )


def _shares(steps: int) -> tuple[float, ...]:
    last = steps - 1
    return tuple(min(max(step, 0.5), last - 0.5) / last for step in range(steps))


SIGNALS: Final[dict[SignalKind, ContextKind]] = {
    "film": _counted_kind(
        "film",
        "the share of other users who {liked} it and how many rated it",
        "Others",
        example=7 * SHARE_STEPS + 14,
    ),
    "user": _counted_kind(
        "user",
        "the share of {items} this user has {liked} so far and how many they are",
        "User",
        example=5 * SHARE_STEPS + 12,
    ),
    "recent": _share_kind(
        "recent", "that share of the newest ones", "Lately", SHARE_STEPS, example=13
    ),
    "expected": _share_kind(
        "expected",
        "how likely this user is expected to {like} it",
        "Expected",
        CHANCE_STEPS,
        example=62,
    ),
}
"""Every signal, in the order a prompt shows them."""
