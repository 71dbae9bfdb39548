"""Numbers as the report shows them: fixed decimals, so that columns of them line up."""

from __future__ import annotations

from typing import Final

from reeltune.evaluation.intervals import Interval

_MINUS: Final = "\N{MINUS SIGN}"


def number(value: float) -> str:
    """Return four decimals, with a minus sign as wide as a plus sign."""
    return f"{value:.4f}".replace("-", _MINUS)


def signed(value: float) -> str:
    """Return four decimals with a sign, for differences."""
    return f"{value:+.4f}".replace("-", _MINUS)


def between(interval: Interval) -> str:
    """Return the ends of an interval, or why there are none."""
    if not interval.enough_users:
        return too_few(interval)
    return f"{number(interval.low)} to {number(interval.high)}"


def signed_between(interval: Interval) -> str:
    """Return the ends of the interval of a difference, or why there are none."""
    if not interval.enough_users:
        return too_few(interval)
    return f"{signed(interval.low)} to {signed(interval.high)}"


def too_few(interval: Interval) -> str:
    """Return why an interval is not told."""
    return f"{counted(interval.users, 'user')}: too few for an interval"


def percent(share: float) -> str:
    """Return a share of one in percent, one decimal."""
    return f"{100 * share:.1f} %"


def count(value: int) -> str:
    """Return a whole number with its thousands set apart."""
    return f"{value:,}"


def counted(value: int, one: str) -> str:
    """Return a number of things, ``1 row`` or ``2 rows``."""
    return f"{count(value)} {one}" if value == 1 else f"{count(value)} {one}s"
