"""A close look at bad ratings: what their lines say, what is wrong with it, and how to mend it.

Only lines already known to be bad are read again, and only as many as are listed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from reeltune.data.badrows import PLACES_KEPT, BadRow
from reeltune.data.layouts import Layout
from reeltune.data.ratings import BLANKS, FAULT, FAULTS, LINE, field_places

_SHOWN: Final = 80
"""Of a line with too few or too many fields, so many characters are shown."""

FIRST_LINE: Final = "first_line"
"""Of a duplicate: the line of the rating that is kept."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE_NUMBER = (_WHOLE, "a whole number without decimals, of at most 18 digits,")
_WANTED: Final = (_WHOLE_NUMBER, _WHOLE_NUMBER, (_DECIMAL, "a number"), _WHOLE_NUMBER)
"""What user, film, stars and timestamp are, each with its words."""


def count_faults(bad: pl.DataFrame) -> dict[str, int]:
    """Count bad ratings by reason.

    Args:
        bad: One row per bad rating with its fault.
    """
    counts = bad.group_by(FAULT).len().sort(FAULT)
    return {FAULTS[fault]: count for fault, count in counts.iter_rows()}


def describe_faults(path: Path, layout: Layout, bad: pl.DataFrame) -> list[BadRow]:
    """Describe the first bad ratings of each reason.

    Args:
        path: The ratings file.
        layout: How it is laid out.
        bad: One row per bad rating: ``line``, ``fault`` and, null but for duplicates,
            ``first_line``.

    Returns:
        At most ``PLACES_KEPT`` rows per reason, in file order.
    """
    listed = bad.sort(LINE).group_by(FAULT, maintain_order=True).head(PLACES_KEPT).sort(LINE)
    texts = _read_lines(path, set(listed[LINE].to_list()))
    header, places = field_places(path, layout)
    rows: list[BadRow] = []
    for row in listed.iter_rows(named=True):
        fields = [field.strip(BLANKS + '"') for field in texts[row[LINE]].split(layout.separator)]
        if len(fields) == len(header):
            named = [(header[place], fields[place]) for place in places]
            fault = _describe(FAULTS[row[FAULT]], named, layout, row[FIRST_LINE])
        else:
            text = texts[row[LINE]]
            counted = f"{len(fields)} fields where {len(header)} are expected"
            fault = _Fault(f"{counted}: {text[:_SHOWN]!r}", text)
        rows.append(
            BadRow(
                path.name,
                line=row[LINE],
                reason=FAULTS[row[FAULT]],
                message=fault.message,
                value=fault.value,
                hint=fault.hint,
            )
        )
    return rows


class _Fault(NamedTuple):
    message: str
    value: str
    hint: str = "Correct the row"


def _describe(
    reason: str, fields: list[tuple[str, str]], layout: Layout, first_line: int | None
) -> _Fault:
    """Describe one fault of a row with the right number of fields.

    Args:
        reason: One of ``FAULTS``.
        fields: Name and text of user, film, stars and timestamp.
        layout: How the file is laid out.
        first_line: Of a duplicate, where the first rating stands.
    """
    (_, user), (_, item), (_, stars), (_, timestamp) = fields
    empty = next((name for name, text in fields if not text), "a field")
    column, no_number, wanted = _first_without_number(fields)
    faults = {
        "empty_value": _Fault(f"{empty} is empty", ",".join(text for _, text in fields)),
        "not_a_number": _Fault(f"{column} is {no_number!r} where {wanted} belongs", no_number),
        "stars_off_scale": _Fault(f"{stars} stars, but the scale is {layout.scale}", stars),
        "timestamp_not_positive": _Fault(
            f"timestamp {timestamp} is no time of a rating",
            timestamp,
            "Timestamps are seconds since 1970 (UTC), above zero: correct the row",
        ),
        "timestamp_too_large": _Fault(
            f"timestamp {timestamp} is after the year 2100, so probably in milliseconds",
            timestamp,
            "Divide the timestamps by 1000 to have seconds",
        ),
        "unknown_item": _Fault(
            f"film {item} is not in {layout.items_file}",
            item,
            f"Add the film to {layout.items_file}",
        ),
        "duplicate_rating": _Fault(
            f"user {user} has rated film {item} already, on line {first_line}",
            f"user {user}, film {item}",
            "Remove one of the two",
        ),
    }
    return faults[reason]


def _first_without_number(fields: list[tuple[str, str]]) -> tuple[str, str, str]:
    """Return the first field that is no number, its text and what belongs there.

    Stars may have decimals, the others not.
    """
    return next(
        (
            (name, text, words)
            for (name, text), (pattern, words) in zip(fields, _WANTED, strict=True)
            if not pattern.fullmatch(text)
        ),
        ("the row", ",".join(text for _, text in fields), "numbers"),
    )


def _read_lines(path: Path, wanted: set[int]) -> dict[int, str]:
    """Return the text of some lines, counted from 1."""
    texts: dict[int, str] = {}
    with path.open(encoding="utf-8", newline="\n") as stream:
        for line, text in enumerate(stream, start=1):
            if line in wanted:
                texts[line] = text.rstrip("\r\n")
                if len(texts) == len(wanted):
                    break
    return texts
