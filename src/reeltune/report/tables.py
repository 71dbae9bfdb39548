"""Tables of the report: cells of formatted numbers, with the reason where a value is undefined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from reeltune.evaluation.intervals import Interval


@dataclass(frozen=True)
class Cell:
    """A value with a smaller note below it: its interval, or why it is undefined.

    ``best`` marks the best value of a column; ``numeric`` cells are aligned to the right.
    """

    text: str
    note: str = ""
    best: bool = False
    defined: bool = True
    numeric: bool = True


@dataclass(frozen=True)
class Head:
    """The heading of a column, with a smaller note below it."""

    text: str
    note: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is the heading of that row.

    ``name`` is unique on the page and ``data-table`` in the HTML.
    """

    name: str
    caption: str
    heads: list[Head]
    rows: list[list[Cell]]


def number(value: float) -> str:
    """Return four decimals, with a minus sign as wide as a plus sign."""
    return f"{value:.4f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """Return four decimals with a sign, for differences."""
    return f"{value:+.4f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """Return a share in percent.

    >>> percent(0.4567)
    '45.7 %'
    """
    return f"{100 * share:.1f} %"


def count(value: int) -> str:
    """Return a whole number with thousands separators."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """Return a number of things.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{count(value)} {noun}" if value == 1 else f"{count(value)} {noun}s"


def between(interval: Interval, formatted: Callable[[float], str] = number) -> str:
    """Return the ends of an interval, or why they are not reported."""
    if not interval.enough_users:
        return f"{counted(interval.users, 'user')}: too few for an interval"
    return f"{formatted(interval.low)} to {formatted(interval.high)}"


def signed_between(interval: Interval) -> str:
    """Return the ends of the interval of a difference, or why they are not reported."""
    return between(interval, signed)


def words(text: str, note: str = "") -> Cell:
    """Return a cell of words."""
    return Cell(text, note, numeric=False)


def undefined(reason: str) -> Cell:
    """Return the cell of an undefined value."""
    return Cell("undefined", reason, defined=False)


def valued(
    interval: Interval | None, reason: str, formatted: Callable[[float], str] = number
) -> Cell:
    """Return the cell of a value with its interval, or of the reason why it is undefined."""
    if interval is None:
        return undefined(reason)
    return Cell(formatted(interval.value), between(interval, formatted))


def plain(value: float | None, reason: str, formatted: Callable[[float], str] = number) -> Cell:
    """Return the cell of a value without interval, or of the reason why it is undefined."""
    return undefined(reason) if value is None else Cell(formatted(value))


def mark_best(cells: Sequence[Cell], values: Sequence[float | None], highest: bool) -> list[Cell]:
    """Return the cells of a column with the best marked, ties included, if two are defined."""
    defined = [value for value in values if value is not None]
    if len(defined) < 2:
        return list(cells)
    best = max(defined) if highest else min(defined)
    return [replace(cell, best=value == best) for cell, value in zip(cells, values, strict=True)]
