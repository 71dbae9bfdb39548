"""Each kind of bad film stops with one clear message, or is counted and listed."""

import pytest

from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.errors import DataError
from tests.errors import raises_error

from .editions import ItemRow, items, timeline, write_edition

ALL = SplitSettings(val_fraction=0.25, test_fraction=0.25)


def settings(output, **changes) -> PrepareSettings:
    return PrepareSettings(output, history_len=2, split=ALL, **changes)


@pytest.fixture
def edition(tmp_path):
    return write_edition(tmp_path / "in", timeline(1, 8), items(8))


# Text added at the end of movies.csv, where line 10 begins.
CASES = [
    ("90,Heat (1995)\n", "item_field_count", [2, 3]),
    ("90,Heat,Part 2 (1995),Drama\n", "item_field_count", [4, 3]),
    ("x90,Heat (1995),Drama\n", "item_id_not_a_number", ["'x90'"]),
    (",Heat (1995),Drama\n", "item_id_not_a_number", ["''"]),
    ("90, ,Drama\n", "item_without_title", [90]),
    ("10,Heat (1995),Drama\n", "duplicate_item", [10, "line 2"]),
]


@pytest.mark.parametrize(("text", "reason", "figures"), CASES)
def test_bad_film_stops_or_is_listed(tmp_path, edition, text, reason, figures) -> None:
    with (edition / "movies.csv").open("a") as stream:
        stream.write(text)
    with raises_error(DataError, "bad_row", where="movies.csv, line 10", figures=figures):
        prepare(edition, settings(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]

    report = prepare(edition, settings(tmp_path / "out", skip_bad_rows=True))
    assert report.meta["dropped"][reason]["count"] == 1
    assert report.meta["dropped"][reason]["first"][0]["line"] == 10
    counts = report.meta["counts"]
    assert (counts["items_in_source"], counts["items_dropped"], counts["items"]) == (9, 1, 8)
    assert (counts["dropped"], counts["events"]) == (0, 8)


def test_lines_are_physical_after_a_title_with_a_line_break(tmp_path, edition) -> None:
    with (edition / "movies.csv").open("a") as stream:
        stream.write('90,"Two\nlines (1990)",Drama\nx,Heat (1995),Drama\n')
    with raises_error(DataError, "bad_row", where="movies.csv, line 12", figures=["'x'"]):
        prepare(edition, settings(tmp_path / "out"))


def test_film_without_a_year_is_fine_and_counted(tmp_path) -> None:
    rows = [*items(8), ItemRow(90, "Babylon 5"), ItemRow(91, "Cosmos", "(no genres listed)")]
    source = write_edition(tmp_path / "in", timeline(1, 8), rows)
    report = prepare(source, settings(tmp_path / "out"))
    assert report.meta["counts"]["items_without_year"] == 2
    assert report.meta["dropped"] == {}


@pytest.mark.parametrize(
    ("content", "code", "where", "figures"),
    [
        (b"", "empty_file", "movies.csv", []),
        (b"movieId,title,genres\n", "no_items", "movies.csv", []),
        (b"movieId,title\n10,Heat\n", "missing_columns", "line 1", ["genres"]),
        (b"10,Heat (1995),Drama\n", "missing_columns", "line 1", ["10,Heat (1995)"]),
        (b"movieId,title,genres\n10,Am\xe9lie,Drama\n", "not_utf8", "line 2", ["0xe9"]),
        (
            b'movieId,title,genres\n10,Ok,Drama\n20,"Heat,Drama\n',
            "bad_csv",
            "line 3",
            [],
        ),
        (b'movieId,title,genres\n10,"He"at,Drama\n', "bad_csv", "line 2", []),
    ],
)
def test_file_that_is_no_films_file(tmp_path, edition, content, code, where, figures) -> None:
    (edition / "movies.csv").write_bytes(content)
    with raises_error(DataError, code, where=where, figures=["movies.csv", *figures]):
        prepare(edition, settings(tmp_path / "out", skip_bad_rows=True))


def test_ratings_of_a_skipped_film_are_counted_as_unknown(tmp_path, edition) -> None:
    text = (edition / "movies.csv").read_text().replace("10,Film 1 ", "ten,Film 1 ")
    (edition / "movies.csv").write_text(text)
    report = prepare(edition, settings(tmp_path / "out", skip_bad_rows=True))
    assert report.meta["dropped"]["unknown_item"]["first"] == [
        {"file": "ratings.csv", "line": 2, "value": "10"}
    ]


@pytest.mark.parametrize(
    ("old", "new", "figures"),
    [("|0\n", "|2\n", ["film 10", "0 or 1"]), ("|0\n", "\n", [23, 24])],
)
def test_bad_rows_of_the_tab_layout(tmp_path, old, new, figures) -> None:
    source = write_edition(tmp_path / "in", timeline(1, 8), items(8), "100k")
    text = (source / "u.item").read_text()
    (source / "u.item").write_text(text.replace(old, new, 1))
    with raises_error(DataError, "bad_row", where="u.item, line 1", figures=figures):
        prepare(source, settings(tmp_path / "out"))


def test_latin1_next_line_character_is_no_line_break(tmp_path) -> None:
    rows = [*items(8), ItemRow(90, "Odd\x85Title (1990)")]
    source = write_edition(tmp_path / "in", timeline(1, 8), rows, "1m", encoding="latin-1")
    report = prepare(source, settings(tmp_path / "out"))
    assert report.meta["counts"]["items"] == 9
