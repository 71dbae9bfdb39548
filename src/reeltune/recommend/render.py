"""Recommendations as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
import shlex
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reeltune.data.history import History
from reeltune.domain import Domain, RatingWords, plain_text
from reeltune.models.calibration import Method
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.results import ItemSummary, Recommendation, Recommendations

Format = Literal["table", "json", "csv"]

CSV_COLUMNS: Final[tuple[str, ...]] = (
    "rank",
    "item_id",
    "title",
    "year",
    "genres",
    "ratings",
    "p_like",
    "p_like_base",
    "reasons",
)

_GENRES_WIDTH: Final = 20
"""Width of the genres column; titles need the rest."""

_FILE_WIDTH: Final = 140
"""Width of a table written to a file."""


@dataclass(frozen=True)
class Source:
    """The user (None: given ratings) and the model (adapter None: the base model alone).

    A fusion takes log-odds before calibration, so its ``calibration`` is ``none``.
    """

    user_id: int | str | None
    model: str
    adapter: str | None
    calibration: Method
    fused: bool = False

    def title(self, rated: int) -> str:
        """Return the heading of the table, given the number of ratings."""
        given = "these ratings" if rated else "somebody without ratings"
        user = given if self.user_id is None else f"user {plain_text(str(self.user_id))}"
        adapter = f"with the adapter {self.adapter}" if self.adapter else "without an adapter"
        fused = " and its fusion" if self.fused else ""
        return f"For {user}, by {self.model} {adapter}{fused}"


def table(result: Recommendations, source: Source, words: RatingWords) -> Table:
    """Return a table with a row per recommendation; probabilities in per cent."""
    title = Text(source.title(result.rated))
    grid = Table(title=title, title_justify="left", caption_justify="left")
    base = any(each.p_like_base is not None for each in result.recommendations)
    grid.add_column("", justify="right")
    for name in ("P(like)", *(["base"] if base else [])):
        grid.add_column(name, justify="right", no_wrap=True)
    for name in (words.domain.item, "year"):
        grid.add_column(name)
    grid.add_column("genres", max_width=_GENRES_WIDTH)
    for rank, each in enumerate(result.recommendations, 1):
        probabilities = [
            f"{100 * p:.1f} %" for p in (each.p_like, each.p_like_base) if p is not None
        ]
        # Text, so that brackets in a title are not read as markup.
        item = Text(_title(each.item))
        for reason in each.reasons:
            effect, rating = f"{100 * reason.effect:+.1f}", words.label(reason.rating)
            item.append(f"\n{effect} {_name(reason.item)}: {rating}", style="dim")
        genres = Text(plain_text(", ".join(each.item.genres)))
        year = str(each.item.year or "")
        grid.add_row(str(rank), *probabilities, item, year, genres)
    grid.caption = Text(_caption(result, words.domain))
    return grid


def _caption(result: Recommendations, domain: Domain) -> str:
    text = (
        f"{result.scored:,} of {result.eligible:,} eligible {domain.items} scored; "
        f"{len(result.history):,} of {result.rated:,} ratings shown to the model"
    )
    if any(each.reasons for each in result.recommendations):
        text += (
            f"\nbelow each {domain.item}: the change of P(like), in percentage points, due to that "
            "rating"
        )
    return text


def file_text(
    result: Recommendations, source: Source, file_format: Format, words: RatingWords
) -> str:
    """Return recommendations as the text of a file."""
    if file_format == "table":
        stream = io.StringIO()
        Console(file=stream, width=_FILE_WIDTH).print(table(result, source, words))
        return stream.getvalue()
    if file_format == "json":
        content = asdict(source) | result.to_dict()
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return csv_text(result)


def csv_text(result: Recommendations) -> str:
    """Return a CSV line per recommendation, below a header.

    Genres are separated by ``|`` as in MovieLens. Reasons are ``item_id:rating:effect``, separated
    by blanks; :func:`shlex.split` splits them, whatever an id holds.
    """
    stream = io.StringIO(newline="")
    columns: list[str] = list(CSV_COLUMNS)
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_csv_row(rank, each) for rank, each in enumerate(result.recommendations, 1))
    return stream.getvalue()


def history_text(catalogue: Catalogue, history: History) -> str:
    """Return a history in one line, oldest first; "none" if it is empty."""
    ratings = zip(history.item_idx.tolist(), history.rating.tolist(), strict=True)
    text = ", ".join(
        f"{_name(catalogue.summary(item))}: {catalogue.words.label(rating)}"
        for item, rating in ratings
    )
    return text or "none"


def _csv_row(rank: int, each: Recommendation) -> dict[str, Any]:
    reasons = (
        f"{shlex.quote(str(one.item.item_id))}:{one.rating}:{one.effect}" for one in each.reasons
    )
    return {
        "rank": rank,
        **each.item.to_dict(),
        "genres": "|".join(each.item.genres),
        "p_like": each.p_like,
        "p_like_base": each.p_like_base,
        "reasons": " ".join(reasons),
    }


def _name(item: ItemSummary) -> str:
    year = f" ({item.year})" if item.year is not None else ""
    return f"{_title(item)}{year}"


def _title(item: ItemSummary) -> str:
    return plain_text(item.title) or "Untitled"
