"""Titles are taken apart without losing a character that is not the year's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.items import split_genres, split_year

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
