"""What a listing says, it says in every format, and titles are shown as what they are."""

from __future__ import annotations

import csv
import io
import json

import pytest
from reeltune.recommend.listing import Line, Listing, Rated, Reason
from rich.console import Console

from reeltune.data.history import History
from reeltune.domain import Item
from reeltune.recommend.render import Format, Origin, file_text, history_text, table

HARBOUR = Item(6, "Harbour", 1995, ("Drama", "Sci-Fi"))
ODD = Item(7, '[red]Odd[/red], "quoted"\n\x1b[31m', None, ())
NO_NAME = Item(8, "", 2001, ("Comedy",))
REASONS = (Reason(Rated(ODD, 4.5), 0.0815), Reason(Rated(NO_NAME, 1.0), -0.0204))
FULL = Listing(
    lines=(
        Line(HARBOUR, 0.8344, 0.5, REASONS),
        Line(ODD, 0.25, 0.125, (REASONS[1],)),
        Line(NO_NAME, 0.001, 1.0, ()),
    ),
    shown=(Rated(ODD, 4.5), Rated(NO_NAME, 1.0)),
    rated=1234,
    judged=300,
    fitting=9000,
    notes=("few ratings",),
)
SHORT = Listing((Line(HARBOUR, 0.8344, None, None),), (), 0, 1, 1, ())
ORIGIN = Origin(42, "models/small", "output/run", "temperature")


def on_terminal(listing: Listing, origin: Origin = ORIGIN, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table(listing, origin))
    return console.file.getvalue()  # type: ignore[attr-defined]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│┃\n").replace("┃", "│").split("│")]


def test_the_table_has_a_row_for_each_film_with_chances_in_per_cent():
    lines = on_terminal(FULL).splitlines()
    assert lines[0].strip() == "For user 42, by models/small, tuned in output/run"
    assert cells(lines[2]) == ["", "P(like)", "base", "film", "year", "genres"]
    rows = [cells(line) for line in lines if line.startswith("│")]
    assert rows == [
        ["1", "83.4 %", "50.0 %", "Harbour", "1995", "Drama, Sci-Fi"],
        ["", "", "", '+8.2 [red]Odd[/red], "quoted" [31m: 4.5', "", ""],
        ["", "", "", "-2.0 Untitled (2001): 1.0", "", ""],
        ["2", "25.0 %", "12.5 %", '[red]Odd[/red], "quoted" [31m', "", ""],
        ["", "", "", "-2.0 Untitled (2001): 1.0", "", ""],
        ["3", "0.1 %", "100.0 %", "Untitled", "2001", "Comedy"],
    ]
    assert "300 of 9,000 films judged; 2 of 1,234 ratings shown" in on_terminal(FULL)
    assert "percentage points" in on_terminal(FULL)


def test_what_was_not_asked_has_no_column():
    lines = on_terminal(SHORT, Origin(None, "models/small", None, "none")).splitlines()
    assert lines[0].strip() == "For these ratings, by models/small, not tuned"
    assert cells(lines[2]) == ["", "P(like)", "film", "year", "genres"]
    assert cells(lines[4]) == ["1", "83.4 %", "Harbour", "1995", "Drama, Sci-Fi"]
    assert "percentage points" not in on_terminal(SHORT)


@pytest.mark.parametrize("shape", ["table", "json"])
def test_no_title_writes_to_the_terminal_what_moves_its_cursor(shape: Format):
    assert "\x1b" not in file_text(FULL, ORIGIN, shape)


def test_json_holds_everything_in_full():
    told = json.loads(file_text(FULL, ORIGIN, "json"))
    items = told.pop("items")
    assert told == {
        "user_id": 42,
        "base": "models/small",
        "adapter": "output/run",
        "calibration": "temperature",
        "rated": 1234,
        "shown": [
            {"item_id": 7, "title": ODD.title, "year": None, "rating": 4.5},
            {"item_id": 8, "title": "", "year": 2001, "rating": 1.0},
        ],
        "fitting": 9000,
        "judged": 300,
        "notes": ["few ratings"],
    }
    assert [item["rank"] for item in items] == [1, 2, 3]
    assert items[0] == {
        "rank": 1,
        "item_id": 6,
        "title": "Harbour",
        "year": 1995,
        "genres": ["Drama", "Sci-Fi"],
        "p_like": 0.8344,
        "p_like_base": 0.5,
        "why": [
            {"item_id": 7, "title": ODD.title, "year": None, "rating": 4.5, "moved": 0.0815},
            {"item_id": 8, "title": "", "year": 2001, "rating": 1.0, "moved": -0.0204},
        ],
    }


def test_csv_holds_the_same_films():
    told = json.loads(file_text(FULL, ORIGIN, "json"))["items"]
    rows = list(csv.DictReader(io.StringIO(file_text(FULL, ORIGIN, "csv"), newline="")))
    assert list(rows[0]) == list(told[0])
    for row, item in zip(rows, told, strict=True):
        for name in ("rank", "item_id", "title", "year", "p_like", "p_like_base"):
            assert row[name] == ("" if item[name] is None else str(item[name]))
        assert row["genres"] == "|".join(item["genres"])
    assert [row["why"] for row in rows] == ["7:4.5:0.0815 8:1.0:-0.0204", "8:1.0:-0.0204", ""]


def test_what_was_not_asked_is_in_no_file():
    (item,) = json.loads(file_text(SHORT, ORIGIN, "json"))["items"]
    assert item.keys() == {"rank", "item_id", "title", "year", "genres", "p_like"}
    heading = file_text(SHORT, ORIGIN, "csv").splitlines()[0]
    assert heading == "rank,item_id,title,year,genres,p_like"


def test_a_table_in_a_file_is_as_wide_whatever_the_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert "Drama, Sci-Fi" in file_text(FULL, ORIGIN, "table")


def test_a_history_in_one_line():
    items = [HARBOUR, ODD, NO_NAME]
    told = history_text(items, History.of([2, 0, 1], [3.0, 4.5, 0.5]))
    assert told == ('Untitled (2001): 3.0, Harbour (1995): 4.5, [red]Odd[/red], "quoted" [31m: 0.5')
    assert history_text(items, History.of([], [])) == ""
