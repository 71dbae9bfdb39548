"""Titles, years and genres are read in every layout; bad films stop or are listed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.items import split_genres, split_year
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.errors import DataError
from tests.errors import raises_error

from .editions import ItemRow, items, timeline, write_edition

PLAIN = st.text(st.characters(exclude_characters="()", exclude_categories=("Cs",))).map(str.strip)


@given(title=PLAIN.filter(bool), year=st.integers(1800, 2099), blanks=st.text(" \t", max_size=3))
def test_year_in_brackets_is_split_off(title: str, year: int, blanks: str) -> None:
    assert split_year(f"{title} ({year}){blanks}") == (title, year)


@given(PLAIN)
def test_text_without_brackets_stays_whole(title: str) -> None:
    assert split_year(title) == (title, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Heat (1995)", ("Heat", 1995)),
        ("Heat(1995)  ", ("Heat", 1995)),
        ("Matrix, The (1999)", ("Matrix, The", 1999)),
        ("Death Note (2006\u20132007)", ("Death Note", 2006)),
        ("Death Note (2006-2007)", ("Death Note", 2006)),
        ("Friends (1994\u2013)", ("Friends", 1994)),
        ("Friends (1994\u2013 )", ("Friends", 1994)),
        ("Seven (Se7en) (1995)", ("Seven (Se7en)", 1995)),
        ("Land Before Time III (1995) (V)", ("Land Before Time III (V)", 1995)),
        ("Twice (1990) (1991)", ("Twice (1990)", 1991)),
        ("2001: A Space Odyssey", ("2001: A Space Odyssey", None)),
        ("Error (404)", ("Error (404)", None)),
        ("Far away (9999)", ("Far away (9999)", None)),
        ("(1995)", ("(1995)", None)),
        ("Babylon 5", ("Babylon 5", None)),
        ("  ", ("", None)),
    ],
)
def test_titles_by_hand(text: str, expected: tuple[str, int | None]) -> None:
    assert split_year(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Action|Film-Noir", ("Action", "Film-Noir")),
        (" Action | Drama ", ("Action", "Drama")),
        ("(no genres listed)", ()),
        ("", ()),
    ],
)
def test_genres_by_hand(text: str, expected: tuple[str, ...]) -> None:
    assert split_genres(text) == expected


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
    [("|0\n", "|2\n", ["item 10", "0 or 1"]), ("|0\n", "\n", [23, 24])],
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
