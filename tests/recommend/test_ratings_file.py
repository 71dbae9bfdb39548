"""Files of ratings are read as written; faults are reported with file and line."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.domain import HALF_STARS, WHOLE_STARS, RatingScale
from reeltune.errors import DataError, RequestError
from reeltune.recommend.ratings_file import read_ratings_file
from reeltune.recommend.user_ratings import rated_history
from tests.errors import raises_error
from tests.recommend.build import catalogue_of

_cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
_rows = st.lists(st.tuples(_cells, st.sampled_from(["0.5", "3", "5.0"])), min_size=1, max_size=5)


@pytest.fixture
def write(tmp_path: Path):
    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
        return path

    return written


def entries(path: Path) -> list[tuple[str, str, str]]:
    return [(entry.item, entry.rating, entry.time) for entry in read_ratings_file(path, {})]


@given(rows=_rows)
def test_csv_and_json_say_the_same(rows: list[tuple[str, str]], tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("title", "rating"), *rows])
    (folder / "drawn.csv").write_bytes(stream.getvalue().encode())
    listed = [{"title": title, "rating": rating} for title, rating in rows]
    (folder / "drawn.json").write_text(json.dumps(listed), encoding="utf-8")
    expected = [(title.strip(), rating, "") for title, rating in rows]
    assert entries(folder / "drawn.csv") == expected
    assert entries(folder / "drawn.json") == expected


@pytest.mark.parametrize(
    "heading", ["title,rating", "Film,Stars", "\ufeffTITLE , rating", "note,title,rating"]
)
def test_columns_have_several_names_and_stand_anywhere(write, heading: str):
    extra = "x," if heading.startswith("note") else ""
    path = write("mine.csv", f'{heading}\r\n{extra}"Good, the Bad (1966)",4.5\r\n\r\n')
    assert entries(path) == [("Good, the Bad (1966)", "4.5", "")]


@pytest.mark.parametrize(
    "heading", ["userId,movieId,rating,timestamp", "a,item_id,stars,timestamp"]
)
def test_a_file_as_movielens_has_it(write, heading: str):
    path = write("ratings.csv", f"{heading}\n1,6,4.0,964982224\n1,47,5.0,964983815\n")
    assert entries(path) == [("6", "4.0", "964982224"), ("47", "5.0", "964983815")]


def test_an_id_counts_where_both_are_given_and_a_title_stands_in_for_it(write):
    path = write("both.csv", "movieId,title,rating\n6,Something else,4\n,Heat (1995),5\n")
    assert entries(path) == [("6", "4", ""), ("Heat (1995)", "5", "")]


def test_json_values_may_be_numbers(write):
    listed = [
        {"item_id": 6, "rating": 4.5, "timestamp": 964982224},
        {"title": "Heat", "rating": 5, "timestamp": None},
        {"title": "Heat", "rating": True, "timestamp": []},
        {"rating": None},
    ]
    assert entries(write("mine.json", json.dumps(listed))) == [
        ("6", "4.5", "964982224"),
        ("Heat", "5", ""),
        ("Heat", "true", "[]"),
        ("", "", ""),
    ]


@pytest.mark.parametrize(
    ("name", "content"), [("heading.csv", "title,rating\n\n"), ("empty.json", "[]")]
)
def test_a_file_may_hold_no_rating(write, name: str, content: str):
    assert entries(write(name, content)) == []


@pytest.mark.parametrize(
    ("name", "content", "code", "figures"),
    [
        ("empty.csv", "", "empty_file", []),
        ("heading.csv", "title\n\n", "missing_ratings_column", ["rating;"]),
        ("list.json", '["Heat"]', "ratings_file_not_json", ['[{"title"']),
        ("deep.json", "[" * 100_000, "ratings_file_not_json", []),
        ("none.csv", "name,mark\nHeat,5\n", "missing_ratings_column", ["rating;", "name, mark"]),
        ("film.csv", "x,rating\nHeat,5\n", "missing_ratings_column", ["title or item_id;"]),
        ("none.json", "[{}]", "missing_ratings_column", ["rating;"]),
        ("two.csv", "title,rating,stars\nA,5,4\n", "ambiguous_column", ["rating, stars"]),
        ("twice.csv", "title,rating,rating\nA,5,4\n", "ambiguous_column", ["rating, rating"]),
        ("table.xlsx", b"PK\x03\x04", "unreadable_table", ["spreadsheet"]),
        ("quotes.csv", 'title,rating\n"Heat,5\n', "bad_csv", ["line 2"]),
    ],
)
def test_a_fault_of_a_whole_file(write, name: str, content: str, code: str, figures: list[object]):
    kind = RequestError if "ratings" in code else DataError
    with raises_error(kind, code, where=name, figures=figures):
        read_ratings_file(write(name, content), {})


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("ISBN\tBook-Rating\n0006\t4\n", {}),
        ('{"asin": "0006", "overall": 4}\n', {}),
        (gzip.compress(b"user;item_id;score\n1;0006;4\n", mtime=0), {}),
        ("title,Code,rating,stars\nHeat,0006,1,4\n", {"item": "Code", "rating": "stars"}),
        ("0006,4\n", {"item": "1", "rating": "2"}),
        (
            '[{"Name": "Heat", "Year": 1995, "Letterboxd URI": "0006", "Rating": 4}]',
            {"item": "Letterboxd URI"},
        ),
    ],
)
def test_any_table_with_usual_or_named_columns(write, content, named):
    (entry,) = read_ratings_file(write("mine", content), named)
    assert (entry.item, entry.by_id, entry.rating) == ("0006", True, "4")


def test_all_faults_of_a_file_are_reported_with_their_lines(write):
    shelf = catalogue_of("Harbour (1995)", "Ivory Tower (1980)", "Ivory Tower (1994)")
    path = write(
        "mine.csv",
        "title,movieId,rating\n"
        "Harbour,,9\n"
        "Ivory Tower,,4\n"
        "Good, the Bad,,4\n"
        ",99,4\n"
        ",6.0,4\n"
        "harbour (1995),,2\n"
        ",,3\n"
        "Ivory Tower (1980),,5\n",
    )
    read = read_ratings_file(path, {})
    with raises_error(RequestError, "invalid_ratings") as caught:
        rated_history(shelf, HALF_STARS, read)
    heading, *lines = caught.value.message.splitlines()
    assert "7" in heading.split()
    expected = [
        (2, "rating_not_on_scale", "'9'"),
        (3, "ambiguous_title", "'Ivory Tower'"),
        (4, "wrong_field_count", ""),
        (5, "unknown_item", "99"),
        (6, "unknown_item", "6.0"),
        (7, "item_rated_twice", f"{path}, line 2"),
        (8, "missing_item", ""),
    ]
    for line, (number, code, figure) in zip(lines, expected, strict=True):
        assert line.startswith(f"  - {path}, line {number}: ")
        assert figure in line
        alone = [
            entry for entry in read if entry.where in (f"{path}, line 2", f"{path}, line {number}")
        ]
        if number != 7:
            alone = alone[-1:]
        else:
            alone[0] = replace(alone[0], rating="4")
        with raises_error(RequestError, code, where=f"line {number}", figures=[figure]):
            rated_history(shelf, HALF_STARS, alone)


def test_entries_of_json_are_named_by_their_number(write):
    path = write("mine.json", '[{"title": "Harbour", "rating": 4}, {"title": "x", "rating": NaN}]')
    read = read_ratings_file(path, {})
    assert [entry.where for entry in read] == [f"{path}, entry 1", f"{path}, entry 2"]
    with raises_error(RequestError, "rating_not_on_scale", where="entry 2", figures=["'NaN'"]):
        rated_history(catalogue_of("Harbour (1995)", "X (2)"), HALF_STARS, read)


IMDB = (
    "Const,Your Rating,Date Rated,Title,Original Title,URL,Title Type,IMDb Rating,Runtime (mins),"
    'Year,Genres,Num Votes,Release Date,Directors\ntt1,9,2024-05-02,"Harbour, The",Harbour,u,Movie,'
    "8.3,170,1995,Crime,7,1995-12-15,M\ntt2,1,2024-05-01,Snow Line,Snow Line,u,Movie,5.1,90,2010,"
    "Drama,9,2010-01-01,N\ntt3,7,2024-05-03,Some Series,S,u,TV Series,8.0,50,2011,Drama,9,,\n"
)
LETTERBOXD = (
    "Date,Name,Year,Letterboxd URI,Rating\n2024-05-02,Harbour,1995,https://boxd.it/1,4.5\n"
    "2024-05-01,Snow Line,2010,https://boxd.it/2,0.5\n2024-05-03,Nowhere,1999,https://boxd.it/3,5\n"
)


@pytest.mark.parametrize(
    ("name", "content", "scale", "expected"),
    [
        ("imdb.csv", IMDB, HALF_STARS, [(1, 0.5), (0, 4.5)]),
        ("imdb.csv", IMDB, WHOLE_STARS, [(1, 1.0), (0, 5.0)]),
        ("imdb.csv", IMDB, RatingScale(1, 10, 1), [(1, 1.0), (0, 9.0)]),
        ("letterboxd.csv", LETTERBOXD, HALF_STARS, [(1, 0.5), (0, 4.5)]),
        ("letterboxd.csv", LETTERBOXD, RatingScale(1, 10, 1), [(1, 1.0), (0, 9.0)]),
    ],
)
def test_exports_are_converted_and_unknown_items_left_out_aloud(
    write, name, content, scale, expected
):
    said: list[str] = []
    catalogue = catalogue_of("The Harbour (1995)", "Snow Line (2010)", "Snow Line (1980)")
    history = rated_history(
        catalogue, scale, read_ratings_file(write(name, content), {}), notify=said.append
    )
    assert list(zip(history.item_idx.tolist(), history.rating.tolist(), strict=True)) == expected
    site = {"imdb.csv": "IMDb", "letterboxd.csv": "Letterboxd"}[name]
    assert said[0].startswith(f"2 ratings of {site} ")
    assert said[1].startswith("1 of 3 ratings left out")
    assert ("Some Series (2011)" in said[1]) == (site == "IMDb")


def test_a_rating_off_the_scale_of_the_site_is_an_error(write):
    path = write("imdb.csv", IMDB.replace("tt1,9,", "tt1,11,"))
    with raises_error(RequestError, "rating_not_on_scale", where="line 2", figures=["'11'"]):
        rated_history(catalogue_of("The Harbour (1995)"), HALF_STARS, read_ratings_file(path, {}))
