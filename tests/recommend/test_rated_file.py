"""Files of ratings are read as they are written; what cannot be read is named by file and line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.errors import RequestError
from reeltune.prompts.renderer import PromptSettings
from reeltune.recommend.rated import rated_history
from reeltune.recommend.rated_file import read_rated_file
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
    return [(one.film, one.stars, one.time) for one in read_rated_file(path)]


def fault(path: Path) -> str:
    with pytest.raises(RequestError) as caught:
        read_rated_file(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


@given(rows=_rows)
def test_csv_and_json_say_the_same(rows: list[tuple[str, str]], tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("title", "rating"), *rows])
    (folder / "drawn.csv").write_bytes(stream.getvalue().encode())
    listed = [{"title": title, "rating": rating} for title, rating in rows]
    (folder / "drawn.json").write_text(json.dumps(listed), encoding="utf-8")
    expected = [(title.strip(), stars, "") for title, stars in rows]
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
    "heading", ["userId,movieId,rating,timestamp", "a,film_id,stars,timestamp"]
)
def test_a_file_as_movielens_has_it(write, heading: str):
    path = write("ratings.csv", f"{heading}\n1,6,4.0,964982224\n1,47,5.0,964983815\n")
    assert entries(path) == [("#6", "4.0", "964982224"), ("#47", "5.0", "964983815")]


def test_an_id_counts_where_both_are_given_and_a_title_stands_in_for_it(write):
    path = write("both.csv", "movieId,title,rating\n6,Something else,4\n,Heat (1995),5\n")
    assert entries(path) == [("#6", "4", ""), ("Heat (1995)", "5", "")]


def test_json_values_may_be_numbers(write):
    listed = [
        {"film_id": 6, "rating": 4.5, "timestamp": 964982224},
        {"title": "Heat", "rating": 5, "timestamp": None},
        {"title": "Heat", "rating": True, "timestamp": []},
        {"rating": None},
    ]
    assert entries(write("mine.json", json.dumps(listed))) == [
        ("#6", "4.5", "964982224"),
        ("Heat", "5", ""),
        ("Heat", "true", "[]"),
        ("", "", ""),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", "", ": no rating is in this file"),
        ("heading.csv", "title,rating\n\n", ": no rating is in this file"),
        ("empty.json", "[]", ": no rating is in this file. Name the film in a column title"),
        ("blank.json", "", ": not JSON"),
        ("one.json", '{"title": "Heat", "rating": 5}', ": not a list of objects. Write a list"),
        ("list.json", '["Heat"]', ": not a list of objects"),
        ("deep.json", "[" * 100_000, ": not JSON"),
        ("long.json", f"[{'9' * 5000}]", ": not JSON"),
        ("none.csv", "name,score\nHeat,5\n", ": no column names the stars; there are name, score"),
        ("film.csv", "name,rating\nHeat,5\n", ": no column names the film; there are name, rating"),
        ("none.json", "[{}]", ": no column names the stars; there are none"),
        ("two.csv", "title,rating,stars\nHeat,5,4\n", ": several columns say the same: rating, st"),
        ("twice.csv", "title,rating,rating\nHeat,5,4\n", ": several columns say the same: rating"),
        ("semi.csv", "title;rating\nHeat;5\n", ": no column names the stars; there are title;rat"),
        ("quotes.csv", 'title,rating\n"Heat" x,5\n', ", line 2: not CSV"),
        ("open.csv", 'title,rating\n"Heat,5\n', ", line 2: not CSV"),
        ("latin.csv", "title,rating\nAm\xe9lie,5\n".encode("latin-1"), ": is not UTF-8 text (byte"),
        ("table.xlsx", b"PK", ": ratings are read from .csv or .json files, not from '.xlsx'"),
        ("ending", "title,rating\n", ": ratings are read from .csv or .json files, not from ''"),
    ],
)
def test_what_is_wrong_with_a_whole_file_is_said(write, name: str, content: str, said: str):
    assert fault(write(name, content)).startswith(said)


def test_a_file_that_is_not_there_or_no_file(tmp_path: Path):
    assert ": cannot be read (No such file" in fault(tmp_path / "absent.csv")
    (tmp_path / "folder.json").mkdir()
    assert ": cannot be read (Is a directory" in fault(tmp_path / "folder.json")


def test_every_fault_of_a_file_is_told_at_once_with_its_line(write):
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
    with pytest.raises(RequestError) as caught:
        rated_history(shelf, PromptSettings(), read_rated_file(path))
    lines = str(caught.value).splitlines()
    assert lines[0] == "7 faults in the ratings:"
    expected = [
        (2, "'9' stars are not on the scale. Give 0.5 to 5.0"),
        (
            3,
            "2 films are called 'Ivory Tower'. Choose by title and year, or by id: Ivory Tower (19",
        ),
        (4, "4 fields where 3 are expected. Set titles that hold commas in quotes"),
        (5, "no film has the id 99"),
        (6, "'6.0' is no id of a film"),
        (7, f"Harbour (1995) is rated already by {path}, line 2"),
        (8, "no film is named. Give its title or its id"),
    ]
    for line, (number, said) in zip(lines[1:], expected, strict=True):
        assert line.startswith(f"  - {path}, line {number}: {said}")


def test_entries_of_json_are_named_by_their_number(write):
    path = write("mine.json", '[{"title": "Harbour", "rating": 4}, {"title": "x", "rating": NaN}]')
    places = [one.place for one in read_rated_file(path)]
    assert places == [f"{path}, entry 1", f"{path}, entry 2"]
    with pytest.raises(RequestError, match=r"entry 2: 'NaN' stars are not on the scale"):
        rated_history(
            catalogue_of("Harbour (1995)", "X (2)"), PromptSettings(), read_rated_file(path)
        )
