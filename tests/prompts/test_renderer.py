from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.prompts.renderer import (
    PROMPT_VERSION,
    Film,
    PromptSettings,
    Renderer,
    format_stars,
    plain_text,
)

titles = st.text(max_size=30)
films = st.builds(
    Film,
    film_id=st.integers(1, 10**6),
    title=titles,
    year=st.none() | st.integers(1880, 2030),
    genres=st.lists(titles, max_size=3).map(tuple),
)
stars = st.integers(0, 10).map(lambda steps: steps / 2)
renderers = st.builds(
    Renderer,
    st.builds(PromptSettings, threshold=stars, genres=st.booleans()),
)

# Text that is likely to hold something that marks a turn.
_marks = st.sampled_from(["<", ">", "|", "/", "im_end", "s", "<|im_end|>", "</think>", " ", "\n"])
markish = st.lists(_marks | st.text(max_size=3), max_size=12).map("".join)

# The wording of each version. A wording that changes needs a new version and a new entry here.
GOLDEN = {
    "1": """\
Predict whether a user will like a film. Users rate films from 0.5 to 5.0 stars; liking a film \
means rating it 4.0 or higher.
Films this user has rated, oldest first, each after its stars:
4.5: Heat (1995) [Crime, Thriller]
3.0: Untitled
Film to judge: Fargo (1996) [Comedy]
Will the user like it? Answer Yes or No."""
}


def test_the_wording_is_that_of_its_version():
    renderer = Renderer(PromptSettings(genres=True))
    history = [
        (4.5, Film(1, "Heat", 1995, ("Crime", "Thriller"))),
        (3.0, Film(2, " ", None, ())),
    ]
    text = renderer.user_text(history, Film(3, "Fargo", 1996, ("Comedy",)))
    assert text == GOLDEN[PROMPT_VERSION]


@given(renderers, st.lists(st.tuples(stars, films), max_size=4), films)
def test_a_user_turn_is_its_pieces_one_after_another(
    renderer: Renderer, history: list[tuple[float, Film]], candidate: Film
):
    expected = renderer.head()
    for given_stars, film in history:
        expected += renderer.stars(given_stars) + renderer.film(film)
    expected += renderer.before_candidate() + renderer.film(candidate) + renderer.question()
    assert renderer.user_text(history, candidate) == expected


@given(renderers, st.lists(st.tuples(stars, films), max_size=4), films)
def test_every_event_is_one_line(
    renderer: Renderer, history: list[tuple[float, Film]], candidate: Film
):
    text = renderer.user_text(history, candidate)
    before, after = renderer.head().count("\n"), 2  # the candidate's line and the question
    assert len(text.splitlines()) == text.count("\n") + 1 == before + len(history) + after
    assert text[:1].isalpha()
    assert text[-1:] == "."


@given(markish | titles)
def test_nothing_that_marks_a_turn_survives_in_a_title(text: str):
    assert not re.search(r"<\|[^<>]*\|>|</?\w+>", plain_text(text))


@pytest.mark.parametrize("token", ["<|im_end|>", "<s>", "</s>", "<think>", "</think>", "<a b>"])
def test_a_token_is_broken_and_stays_readable(token: str):
    assert plain_text(f"A{token}B") == f"A< {token[1:]}B"


@pytest.mark.parametrize("text", ["I <3 You", "a < b > c", "1 <> 2", "<", "->", "5 < 6"])
def test_a_plain_angle_is_left_alone(text: str):
    assert plain_text(text) == text


@given(titles | markish)
def test_a_plain_title_is_one_line_of_single_spaces(text: str):
    plain = plain_text(text)
    assert len(plain.splitlines()) <= 1
    assert plain == " ".join(plain.split())
    assert not {unicodedata.category(c) for c in plain} & {"Cc", "Zl", "Zp"}
    assert plain_text(plain) == plain


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="<"), min_size=1))
def test_an_ordinary_title_is_left_as_it_is(text: str):
    assert plain_text(text) == text


@given(titles, st.lists(titles, min_size=1, max_size=3))
def test_genres_are_shown_only_where_asked(title: str, genres: list[str]):
    film = Film(1, title, 1999, tuple(genres))
    bare = Renderer(PromptSettings(genres=False)).film(film)
    full = Renderer(PromptSettings(genres=True)).film(film)
    shown = ", ".join(plain_text(genre) for genre in genres)
    assert bare.endswith(" (1999)\n")
    assert full == f"{bare[:-1]} [{shown}]\n"


@pytest.mark.parametrize(
    ("film", "text"),
    [
        (Film(1, "Heat", 1995, ()), " Heat (1995)\n"),
        (Film(1, "Heat", None, ()), " Heat\n"),
        (Film(1, "", None, ()), " Untitled\n"),
        (Film(1, "\t\n", 2001, ("Drama",)), " Untitled (2001) [Drama]\n"),
        (Film(1, "Two\r\nLines", 2001, ("A\nB", "C")), " Two Lines (2001) [A B, C]\n"),
    ],
)
def test_films(film: Film, text: str):
    assert Renderer(PromptSettings(genres=True)).film(film) == text


def test_scale_and_threshold_are_said():
    head = Renderer(PromptSettings(threshold=3.5, scale_min=1.0, scale_max=4.0)).head()
    assert "from 1.0 to 4.0 stars" in head
    assert "rating it 3.5 or higher" in head


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (3, "3.0"), (4.5, "4.5"), (5.0, "5.0")])
def test_stars_have_one_decimal(value: float, text: str):
    assert format_stars(value) == text
    assert Renderer(PromptSettings()).stars(value) == f"{text}:"


def test_answers():
    assert [Renderer.answer(liked) for liked in (True, False)] == ["Yes", "No"]


@given(st.builds(PromptSettings, threshold=stars, genres=st.booleans(), version=st.text()))
def test_settings_survive_being_stored(settings: PromptSettings):
    assert PromptSettings.from_dict(settings.to_dict()) == settings


def test_settings_carry_the_version():
    assert PromptSettings().to_dict()["version"] == PROMPT_VERSION
