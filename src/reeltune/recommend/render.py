"""A listing as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reeltune.data.history import History
from reeltune.domain import Item, format_rating, plain_text
from reeltune.recommend.listing import Line, Listing, Reason
from reeltune.scoring.calibration import Method

Format = Literal["table", "json", "csv"]

_GENRES_WIDTH: Final = 20
"""Characters of a line that genres may take: films need the room."""

_FILE_WIDTH: Final = 140
"""Characters of a table's line in a file."""


@dataclass(frozen=True)
class Origin:
    """Whose list it is, and whose verdicts they are.

    Attributes:
        user_id: A user of the prepared data; None for ratings that were given.
        base: The base model.
        adapter: The folder of the adapter; None for the base model alone.
        calibration: What is made of the adapter's verdicts.
    """

    user_id: int | None
    base: str
    adapter: str | None
    calibration: Method

    def title(self) -> str:
        """Return a line that says so."""
        person = "these ratings" if self.user_id is None else f"user {self.user_id}"
        tuned = f"tuned in {self.adapter}" if self.adapter else "not tuned"
        return f"For {person}, by {self.base}, {tuned}"


def table(listing: Listing, origin: Origin) -> Table:
    """Return one row per film; chances in per cent."""
    found = Table(title=Text(origin.title()), title_justify="left", caption_justify="left")
    base = any(line.p_like_base is not None for line in listing.lines)
    found.add_column("", justify="right")
    for name in ("P(like)", *(["base"] if base else [])):
        found.add_column(name, justify="right", no_wrap=True)
    for name in ("film", "year"):
        found.add_column(name)
    found.add_column("genres", max_width=_GENRES_WIDTH)
    for rank, line in enumerate(listing.lines, 1):
        chances = (one for one in (line.p_like, line.p_like_base) if one is not None)
        # Titles are anybody's text, and no markup.
        item = Text(_title(line.item))
        for reason in line.why or ():
            item.append(f"\n{_reason(reason)}", style="dim")
        genres = plain_text(", ".join(line.item.genres))
        cells = [str(rank), *map(_percent, chances), item, str(line.item.year or ""), Text(genres)]
        found.add_row(*cells)
    found.caption = Text(_caption(listing))
    return found


def _caption(listing: Listing) -> str:
    told = (
        f"{listing.judged:,} of {listing.fitting:,} films judged; "
        f"{len(listing.shown):,} of {listing.rated:,} ratings shown to the model"
    )
    if any(line.why for line in listing.lines):
        told += (
            "\nbelow each film: by how many percentage points P(like) is higher (+) or lower (-) "
            "for that rating"
        )
    return told


def file_text(listing: Listing, origin: Origin, shape: Format) -> str:
    """Return a listing as a file holds it.

    Args:
        listing: What is shown.
        origin: Stands above the table, and in JSON.
        shape: A table in plain text, JSON, or CSV.
    """
    if shape == "table":
        stream = io.StringIO()
        Console(file=stream, width=_FILE_WIDTH).print(table(listing, origin))
        return stream.getvalue()
    if shape == "json":
        told = asdict(origin) | record(listing)
        return json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return csv_text(listing)


def record(listing: Listing) -> dict[str, Any]:
    """Return a listing as plain values for JSON; chances and differences are shares of 1."""
    return {
        "rated": listing.rated,
        "shown": [_item(one.item) | {"rating": one.rating} for one in listing.shown],
        "fitting": listing.fitting,
        "judged": listing.judged,
        "notes": list(listing.notes),
        "items": [_line(rank, line) for rank, line in enumerate(listing.lines, 1)],
    }


def csv_text(listing: Listing) -> str:
    """Return one line per film under a heading, with the numbers of :func:`record`.

    Genres are separated by ``|`` as MovieLens does; reasons are ``item_id:stars:moved``, separated
    by blanks.
    """
    stream = io.StringIO(newline="")
    rows = [_csv_row(rank, line) for rank, line in enumerate(listing.lines, 1)]
    writer = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def history_text(items: Sequence[Item], history: History) -> str:
    """Return a history in one line of text, oldest first."""
    told = zip(history.item_idx.tolist(), history.rating.tolist(), strict=True)
    return ", ".join(f"{_name(items[row])}: {format_rating(rating)}" for row, rating in told)


def _line(rank: int, line: Line) -> dict[str, Any]:
    told: dict[str, Any] = {"rank": rank, **_item(line.item), "genres": list(line.item.genres)}
    told["p_like"] = line.p_like
    if line.p_like_base is not None:
        told["p_like_base"] = line.p_like_base
    if line.why is not None:
        told["why"] = [
            _item(one.rated.item) | {"rating": one.rated.rating, "moved": one.moved}
            for one in line.why
        ]
    return told


def _csv_row(rank: int, line: Line) -> dict[str, Any]:
    told = _line(rank, line)
    told["genres"] = "|".join(told["genres"])
    if "why" in told:
        reasons = (f"{one['item_id']}:{one['rating']}:{one['moved']}" for one in told["why"])
        told["why"] = " ".join(reasons)
    return told


def _item(item: Item) -> dict[str, Any]:
    return {"item_id": item.item_id, "title": item.title, "year": item.year}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _reason(reason: Reason) -> str:
    rating = format_rating(reason.rated.rating)
    return f"{100 * reason.moved:+.1f} {_name(reason.rated.item)}: {rating}"


def _name(item: Item) -> str:
    year = f" ({item.year})" if item.year is not None else ""
    return f"{_title(item)}{year}"


def _title(item: Item) -> str:
    return plain_text(item.title) or "Untitled"
