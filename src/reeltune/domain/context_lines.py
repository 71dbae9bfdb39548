"""The kinds of lines a prompt can show under an item.

A kind is a closed list of texts; a *code* is an index into it. Everything between the computation
of a signal and the tokens handles codes only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Final, Literal

from reeltune.domain.words import Domain

SignalKind = Literal["item", "user", "recent", "expected"]
"""The collaborative signals:

* ``item``: the share of other users who liked the item, and how many rated it;
* ``user``: the share of items the user has liked so far, and their number;
* ``recent``: the user's share of likes, with the newest events weighted most;
* ``expected``: the probability of a like, by a Gaussian process over the user's earlier events and
  other users' ratings.
"""

RENAMED_SIGNALS: Final = {"film": "item"}
"""Names in earlier configurations and records, to the present ones."""

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
    "item": _counted_kind(
        "item",
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


@dataclass(frozen=True)
class GPHyperparameters:
    """What the signal ``expected`` depends on besides ratings (:mod:`reeltune.signals`).

    Variances of the terms, in units of the target squared; lengths after which 37 % is left. The
    defaults are fitted by maximum likelihood on ratings of ml-latest-small that neither split holds
    out; ``prepare`` fits a data set's own.

    Attributes:
        long_term: Drift of the user over many events.
        long_term_length: In events.
        short_term: Drift over a few events.
        short_term_length: In events.
        rating_similarity: Items that other users rate alike.
        co_occurrence: Items that the same users have rated.
        genres: Items of the same genres.
        years: Items of about the same year.
        years_length: In years.
        popularity: Items with about as many ratings.
        mean_rating: Items with about the same mean.
        noise: Independent noise of each event.
        item_mean_variance: Variance of an item's mean, times the ratings it is computed from.
        spread: Target above the decision boundary at which the odds of a like are e to 1.
    """

    long_term: float = 0.0402
    long_term_length: float = 46.97
    short_term: float = 0.0781
    short_term_length: float = 1.172
    rating_similarity: float = 0.1937
    co_occurrence: float = 0.2618
    genres: float = 0.0466
    years: float = 0.1264
    years_length: float = 84.59
    popularity: float = 0.0020
    mean_rating: float = 0.1704
    noise: float = 0.2356
    item_mean_variance: float = 2.6619
    spread: float = 0.4

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GPHyperparameters:
        """Return the hyperparameters in a JSON object; what it lacks is as shipped.

        Raises:
            ValueError: There is another name, or a value that is no positive number.
        """
        if not all(type(value) in (int, float) and 0 < value < inf for value in values.values()):
            raise ValueError("a hyperparameter is no positive number")
        if unknown := sorted(values.keys() - vars(GP_HYPERPARAMETERS).keys()):
            raise ValueError(f"unknown hyperparameters: {', '.join(unknown)}")
        return cls(**values)


GP_HYPERPARAMETERS: Final = GPHyperparameters()
"""Those of every data set that has none of its own."""
