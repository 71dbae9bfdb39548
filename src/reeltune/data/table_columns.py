"""Which column is which: named with ``--columns``, or guessed from usual names."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from reeltune.data.layouts import plain
from reeltune.errors import ConfigError, DataError

USER, ITEM, RATING, TIME = "user", "item", "rating", "time"
TITLE, YEAR, GENRES = "title", "year", "genres"
EVENT_ROLES: Final = (USER, ITEM, RATING, TIME)
ITEM_ROLES: Final = (ITEM, TITLE, YEAR, GENRES)

_USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    USER: ("user", "userid", "uid", "username", "reviewerid", "reviewer", "userkey", "memberid"),
    ITEM: (
        *("item", "itemid", "iid", "movieid", "isbn", "asin", "productid", "bookid", "filmid"),
        *("gameid", "songid", "trackid", "artistid", "recipeid", "businessid", "appid", "animeid"),
        *("gmapid", "parentasin", "itemkey"),
    ),
    RATING: (
        *("rating", "userrating", "score", "stars", "overall", "bookrating", "ratings", "like"),
        *("reviewscore", "liked", "thumbs", "starrating", "isrecommended", "recommended"),
        "votedup",
    ),
    TIME: (
        *("timestamp", "time", "date", "unixreviewtime", "reviewedat", "reviewtime", "ratedat"),
        *("createdat", "datetime", "dateadded", "unixtime"),
    ),
    TITLE: (
        *("title", "name", "booktitle", "movietitle", "itemname", "itemtitle", "producttitle"),
        *("productname", "filmtitle", "gametitle", "bookname"),
    ),
    YEAR: (
        *("year", "releaseyear", "yearofpublication", "publicationyear"),
        "originalpublicationyear",
    ),
    GENRES: ("genres", "genre", "categories", "category", "class"),
}
"""Usual names of each column, as :func:`plain` writes them."""
_BARE_ID: Final = "id"

Columns = Mapping[str, str]
"""For each role, the name of a column."""


def parse_columns(text: str | None, roles: Sequence[str] = tuple(_USUAL)) -> Columns:
    """Return the value of ``--columns``, such as ``user=user_id,item=isbn``.

    Raises:
        ConfigError: A part is no ``role=name``, or a role is unknown or there twice.

    >>> parse_columns("user=User ID,item=isbn")
    {'user': 'User ID', 'item': 'isbn'}
    """
    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        role, _, name = (piece.strip() for piece in part.partition("="))
        if role in found:
            raise _bad_columns(f"--columns names {role} twice", roles)
        found[role] = name
    return check_roles(found, roles)


def check_roles(columns: Columns, roles: Sequence[str] = tuple(_USUAL)) -> Columns:
    """Return the columns if every role is known and has a name.

    Raises:
        ConfigError: One is not.
    """
    for role, name in columns.items():
        if role not in roles:
            raise _bad_columns(f"--columns names {role!r}, which is no role here", roles)
        if not name:
            raise _bad_columns(f"--columns gives {role} no column", roles)
    return columns


def _bad_columns(message: str, roles: Sequence[str]) -> ConfigError:
    hint = f"Write role=name,...; roles are {', '.join(roles)}"
    return ConfigError(message, code="bad_columns", hint=hint)


def has_header(named: Columns) -> bool:
    """Return whether columns are named, rather than numbered for a file without a header."""
    return not named or not all(name.isdecimal() for name in named.values())


def match_columns(
    where: str, columns: Sequence[str], named: Columns, roles: Sequence[str], needed: Sequence[str]
) -> dict[str, str]:
    """Return the column of each role that a table has, all needed ones among them.

    Args:
        where: The table's name, for messages.
        columns: Its columns.
        named: Columns that are named rather than guessed; those of another table are ignored.
        roles: The roles this table may have.
        needed: The roles it must have.

    Raises:
        DataError: A needed column is not found, is there twice, or two may be meant.
    """
    found = find_columns(where, columns, named, roles)
    refuse_missing(named, [(where, columns, found, needed)])
    return found


def find_columns(
    where: str, columns: Sequence[str], named: Columns, roles: Sequence[str]
) -> dict[str, str]:
    """Return the column of each role that a table has; arguments as for ``match_columns``.

    Raises:
        DataError: A column is there twice, or two may be meant.
    """
    found: dict[str, str] = {}
    for role in roles:
        usual = [column for column in columns if plain(column) in _USUAL[role]]
        if role == ITEM and USER not in roles and not usual:
            usual = [column for column in columns if plain(column) == _BARE_ID]
        if role in named and named[role] in columns:
            usual = [column for column in columns if column == named[role]]
        if len(usual) > 1:
            raise DataError(
                f"several columns may be the {role}: {', '.join(usual)}",
                code="ambiguous_column",
                where=where,
                hint=f"Name one, as in --columns {role}={usual[0]}"
                if len(set(usual)) > 1
                else "Give every column its own name",
            )
        if usual:
            found[role] = usual[0]
    return found


Matched = tuple[str, Sequence[str], Columns, Sequence[str]]
"""A table's name, its columns, those that were found, and the roles it must have."""


def refuse_missing(named: Columns, tables: Sequence[Matched]) -> None:
    """Raise one DataError for the needed columns that tables lack, with a way to name them all."""
    lacking = [table for table in tables if set(table[3]) - table[2].keys()]
    if not lacking:
        return
    problems = []
    for where, columns, found, needed in lacking:
        wanted = " and ".join(
            f"{role} ({named[role]!r} is not there)" if role in named else role
            for role in needed
            if role not in found
        )
        of = f" of {where}" if len(lacking) > 1 else ""
        shown = ", ".join(columns)[:200] or "none"
        problems.append(f"no column{of} is known as the {wanted}; the columns are: {shown}")
    roles = dict.fromkeys(role for *_, needed in tables for role in needed)
    no_ratings = any(RATING in needed and RATING not in found for *_, found, needed in lacking)
    example, twice = _example(named, tables)
    raise DataError(
        "; ".join(problems),
        code="missing_columns",
        where=" and ".join(where for where, *_ in lacking),
        hint=f"Call the columns {', '.join(roles)}, or name them, if they are in this order: "
        f"--columns {shlex.quote(example)}"
        + ("; give the item one name in both tables" if twice else "")
        + ("; without ratings nothing says what was disliked" if no_ratings else ""),
    )


def _example(named: Columns, tables: Sequence[Matched]) -> tuple[str, bool]:
    """Return a value of ``--columns``, and whether one name would be needed for two columns.

    It has what was named, and for the other roles the other columns in their order.
    """
    chosen = {r: name for r, name in named.items() if any(name in t[1] for t in tables)}
    twice = False
    for _, columns, found, needed in tables:
        taken = {*found.values(), *chosen.values()}
        numbered = not taken & set(columns) and any(column.isdecimal() for column in columns)
        names = [str(at + 1) if numbered else name for at, name in enumerate(columns)]
        free = (name for name in names if name not in taken)
        times = (TIME,) if RATING in needed and RATING not in found else ()
        for role in (*needed, *times):
            if role not in found and chosen.get(role) not in names:
                name = next(free, None if role == TIME else "NAME")
                twice = twice or role in chosen
                chosen |= {role: name} if name and role not in chosen else {}
    value = ",".join(f"{role}={name}" for role, name in chosen.items())
    return value, twice


def refuse_unknown(named: Columns, tables: Sequence[tuple[str, Sequence[str], Columns]]) -> None:
    """Raise a DataError if a named column is in no table: a name, all columns, those of roles."""
    for role, name in named.items():
        if not any(found.get(role) == name for *_, found in tables):
            raise DataError(
                f"no column {name!r} for the {role}; the columns are: "
                + "; ".join(", ".join(columns) for _, columns, _ in tables),
                code="missing_columns",
                where=" and ".join(where for where, *_ in tables),
                hint="Correct --columns",
            )
