"""Every format holds the whole result, and titles cannot act on the terminal."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from reeltune.data.history import History
from reeltune.domain import FILM_STARS, Domain, Item, RatingScale, RatingWords
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.render import CSV_COLUMNS, Format, Source, file_text, history_text, table
from reeltune.recommend.results import (
    ItemSummary,
    RatedItem,
    Reason,
    Recommendation,
    Recommendations,
)

HARBOUR = ItemSummary(6, "Harbour", 1995, ("Drama", "Sci-Fi"), 12)
ODD = ItemSummary(7, '[red]Odd[/red], "quoted"\n\x1b[31m', None, (), 0)
NO_NAME = ItemSummary(8, "", 2001, ("Comedy",), 3)
REASONS = (Reason(ODD, 4.5, 0.0815), Reason(NO_NAME, 1.0, -0.0204))
FULL = Recommendations(
    recommendations=(
        Recommendation(HARBOUR, 0.8344, 0.5, REASONS),
        Recommendation(ODD, 0.25, 0.125, (REASONS[1],)),
        Recommendation(NO_NAME, 0.001, 1.0, ()),
    ),
    scored=300,
    eligible=9000,
    notes=("few ratings",),
    history=(RatedItem(ODD, 4.5), RatedItem(NO_NAME, 1.0)),
    rated=1234,
)
SHORT = Recommendations((Recommendation(HARBOUR, 0.8344),), scored=1, eligible=1)
SOURCE = Source(42, "models/small", "output/run", "temperature")
ODD_JSON = {"item_id": 7, "title": ODD.title, "year": None, "genres": [], "ratings": 0}
NO_NAME_JSON = {"item_id": 8, "title": "", "year": 2001, "genres": ["Comedy"], "ratings": 3}


def on_terminal(result: Recommendations, source: Source = SOURCE) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(table(result, source, FILM_STARS))
    return console.file.getvalue()  # type: ignore[attr-defined]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│┃\n").replace("┃", "│").split("│")]


def test_the_table_has_a_row_per_recommendation_with_per_cents():
    title, *lines = on_terminal(FULL).splitlines()
    assert [name for name in ("42", "models/small", "output/run") if name not in title] == []
    assert [len(cells(line)) for line in lines if line.startswith("┃")] == [6]
    rows = [cells(line) for line in lines if line.startswith("│")]
    assert rows == [
        ["1", "83.4 %", "50.0 %", "Harbour", "1995", "Drama, Sci-Fi"],
        ["", "", "", '+8.2 [red]Odd[/red], "quoted" [31m: 4.5', "", ""],
        ["", "", "", "-2.0 Untitled (2001): 1.0", "", ""],
        ["2", "25.0 %", "12.5 %", '[red]Odd[/red], "quoted" [31m', "", ""],
        ["", "", "", "-2.0 Untitled (2001): 1.0", "", ""],
        ["3", "0.1 %", "100.0 %", "Untitled", "2001", "Comedy"],
    ]
    counts, explanation = lines[-2:]
    assert re.findall(r"[\d,]+", counts) == ["300", "9,000", "2", "1,234"]
    assert not re.search(r"\d", explanation)


def test_a_table_without_base_and_reasons_has_no_room_for_them():
    title, *lines = on_terminal(SHORT, Source(None, "models/small", None, "none")).splitlines()
    assert "models/small" in title
    assert "None" not in title
    assert [len(cells(line)) for line in lines if line.startswith("┃")] == [5]
    (row,) = [line for line in lines if line.startswith("│")]
    assert cells(row) == ["1", "83.4 %", "Harbour", "1995", "Drama, Sci-Fi"]
    caption = " ".join(lines[lines.index(row) + 2 :])
    assert re.findall(r"[\d,]+", caption) == ["1", "1", "0", "0"]


@pytest.mark.parametrize("file_format", ["table", "json"])
def test_no_title_reaches_the_terminal_with_escape_sequences(file_format: Format):
    assert "\x1b" not in file_text(FULL, SOURCE, file_format, FILM_STARS)


@pytest.mark.parametrize("fused", [True, False])
def test_the_heading_names_the_fusion_and_not_some_of_its_parts(fused: bool):
    heading = replace(SOURCE, fused=fused).title(3)
    assert heading.endswith("with the adapter output/run" + " and its fusion" * fused)


def test_json_holds_everything_in_full():
    content = json.loads(file_text(FULL, SOURCE, "json", FILM_STARS))
    first, *_, last = content.pop("recommendations")
    assert content == {
        "user_id": 42,
        "model": "models/small",
        "adapter": "output/run",
        "calibration": "temperature",
        "fused": False,
        "scored": 300,
        "eligible": 9000,
        "notes": ["few ratings"],
        "history": [{"item": ODD_JSON, "rating": 4.5}, {"item": NO_NAME_JSON, "rating": 1.0}],
        "rated": 1234,
    }
    assert first == {
        "item": {
            "item_id": 6,
            "title": "Harbour",
            "year": 1995,
            "genres": ["Drama", "Sci-Fi"],
            "ratings": 12,
        },
        "p_like": 0.8344,
        "p_like_base": 0.5,
        "reasons": [
            {"item": ODD_JSON, "rating": 4.5, "effect": 0.0815},
            {"item": NO_NAME_JSON, "rating": 1.0, "effect": -0.0204},
        ],
    }
    assert (last["item"], last["reasons"]) == (NO_NAME_JSON, [])


def test_json_has_every_field_whatever_was_requested():
    (short,) = json.loads(file_text(SHORT, SOURCE, "json", FILM_STARS))["recommendations"]
    full = json.loads(file_text(FULL, SOURCE, "json", FILM_STARS))["recommendations"][0]
    assert short.keys() == full.keys()
    assert (short["p_like_base"], short["reasons"]) == (None, [])


def test_csv_holds_the_same_recommendations():
    recommendations = json.loads(file_text(FULL, SOURCE, "json", FILM_STARS))["recommendations"]
    rows = list(csv.DictReader(io.StringIO(file_text(FULL, SOURCE, "csv", FILM_STARS), newline="")))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    for row, each in zip(rows, recommendations, strict=True):
        assert tuple(row) == CSV_COLUMNS
        for name in ("item_id", "title", "year", "ratings"):
            assert row[name] == ("" if each["item"][name] is None else str(each["item"][name]))
        assert row["genres"] == "|".join(each["item"]["genres"])
        assert (row["p_like"], row["p_like_base"]) == (
            str(each["p_like"]),
            str(each["p_like_base"]),
        )
    assert [row["reasons"] for row in rows] == ["7:4.5:0.0815 8:1.0:-0.0204", "8:1.0:-0.0204", ""]


@pytest.mark.parametrize("result", [SHORT, replace(SHORT, recommendations=())])
def test_csv_has_every_column_whatever_was_requested(result: Recommendations):
    header, *rows = csv.reader(
        io.StringIO(file_text(result, SOURCE, "csv", FILM_STARS), newline="")
    )
    assert tuple(header) == CSV_COLUMNS
    assert [row[-2:] for row in rows] == [["", ""] for _ in result.recommendations]


def test_a_table_in_a_file_is_as_wide_whatever_the_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert "Drama, Sci-Fi" in file_text(FULL, SOURCE, "table", FILM_STARS)


def test_a_history_in_one_line():
    items = [Item(each.item_id, each.title, each.year, ()) for each in (HARBOUR, ODD, NO_NAME)]
    catalogue = Catalogue(items, np.zeros(3, dtype=np.int64))
    text = history_text(catalogue, History.of([2, 0, 1], [3.0, 4.5, 0.5]))
    assert text == 'Untitled (2001): 3.0, Harbour (1995): 4.5, [red]Odd[/red], "quoted" [31m: 0.5'
    assert history_text(catalogue, History.of([], [])) == "none"


def test_a_table_of_books_has_no_word_of_films():
    words = RatingWords(Domain("book", "book", "books"), RatingScale(1.0, 10.0, 1.0))
    text = file_text(FULL, SOURCE, "table", words)
    assert "eligible books scored" in text
    assert "below each book" in text
    assert "film" not in text
