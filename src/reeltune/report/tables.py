"""Tables as the template draws them: cells of text with what stands below, nothing left blank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from reeltune.evaluation.intervals import Interval
from reeltune.report.formatting import between, number, signed, signed_between

UNDEFINED: Final = "undefined"


@dataclass(frozen=True)
class Cell:
    """One value.

    Attributes:
        text: The value itself.
        note: What stands below it, smaller: its interval, or why there is no value.
        best: Whether it is marked as the best of its column.
        defined: Whether there is a value.
        numeric: Whether it is set to the right, so that decimals line up.
    """

    text: str
    note: str = ""
    best: bool = False
    defined: bool = True
    numeric: bool = True


@dataclass(frozen=True)
class Head:
    """The heading of a column.

    Attributes:
        text: What the column holds.
        note: What stands below it, smaller.
        numeric: Whether its cells are set to the right.
    """

    text: str
    note: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is the heading of that row.

    Attributes:
        name: Unique on the page; ``data-table`` in the HTML.
        caption: What the table holds, in one sentence.
        heads: One for each column.
        rows: As many cells each as there are headings.
    """

    name: str
    caption: str
    heads: list[Head]
    rows: list[list[Cell]]


def words(text: str, note: str = "") -> Cell:
    """Return a cell of words."""
    return Cell(text, note, numeric=False)


def undefined(reason: str) -> Cell:
    """Return the cell of a value that does not exist, with the reason."""
    return Cell(UNDEFINED, reason, defined=False)


def valued(interval: Interval | None, reason: str) -> Cell:
    """Return the cell of a figure with its interval, or of the reason why there is none."""
    return (
        undefined(reason) if interval is None else Cell(number(interval.value), between(interval))
    )


def changed(interval: Interval | None, reason: str) -> Cell:
    """Return the cell of a difference with its interval, or of the reason why there is none."""
    if interval is None:
        return undefined(reason)
    return Cell(signed(interval.value), signed_between(interval))


def plain(value: float | None, reason: str, shown: Callable[[float], str] = number) -> Cell:
    """Return the cell of a figure without an interval, or of the reason why there is none."""
    return undefined(reason) if value is None else Cell(shown(value))


def mark_best(cells: Sequence[Cell], values: Sequence[float | None], highest: bool) -> list[Cell]:
    """Return the cells of a column with the best marked, ties included.

    Nothing is marked unless two values at least are defined: the only one is not the best of any.
    """
    defined = [value for value in values if value is not None]
    if len(defined) < 2:
        return list(cells)
    best = max(defined) if highest else min(defined)
    return [replace(cell, best=value == best) for cell, value in zip(cells, values, strict=True)]
