"""Titles and genres as MovieLens writes them, taken apart."""

from __future__ import annotations

import re
from typing import Final

NO_GENRES: Final = frozenset({"(no genres listed)", "unknown", ""})
"""What editions write when they know no genre."""

# The year is the last thing in brackets, but for the marks of video and television releases.
# A series has a span, "(2006-2007)" or "(1995-)", written with a hyphen or a dash.
_YEAR = re.compile(
    r"\s*\((?P<year>1[89]\d\d|20\d\d)(?:\s*[-\u2013\u2014]\s*(?:\d{4})?)?\s*\)"
    r"(?=(?:\s*\((?:V|TV)\))?$)"
)


def split_year(text: str) -> tuple[str, int | None]:
    """Split ``Heat (1995)`` into ``Heat`` and 1995.

    The first year of a span counts. Text without a year, and text that is nothing but a year, is
    returned whole (without surrounding blanks) and with None.
    """
    text = text.strip()
    match = _YEAR.search(text)
    if match is None:
        return text, None
    title = (text[: match.start()] + text[match.end() :]).strip()
    return (title, int(match["year"])) if title else (text, None)


def split_genres(text: str) -> tuple[str, ...]:
    """Split ``Action|Crime``; ``(no genres listed)`` gives no genre."""
    genres = (genre.strip() for genre in text.split("|"))
    return tuple(genre for genre in genres if genre not in NO_GENRES)
