from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.domain import (
    INTERVIEW,
    PROMPT_VERSION,
    WINDOW,
    Form,
    Item,
    PromptSettings,
    Renderer,
    plain_text,
)

titles = st.text(max_size=30)
items = st.builds(
    Item,
    item_id=st.integers(1, 10**6),
    title=titles,
    year=st.none() | st.integers(1880, 2030),
    genres=st.lists(titles, max_size=3).map(tuple),
)
rating = st.integers(0, 10).map(lambda steps: steps / 2)
renderers = st.builds(
    Renderer,
    st.builds(PromptSettings, threshold=rating, genres=st.booleans()),
)
interviewers = st.builds(
    Renderer,
    st.builds(PromptSettings, threshold=rating, genres=st.booleans(), form=st.just(INTERVIEW)),
)
histories = st.lists(st.tuples(rating, items), max_size=4)

# Text that is likely to hold something that marks a turn.
_marks = st.sampled_from(["<", ">", "|", "/", "im_end", "s", "<|im_end|>", "</think>", " ", "\n"])
markish = st.lists(_marks | st.text(max_size=3), max_size=12).map("".join)

# The wording of each version. A wording that changes needs a new version and a new entry here.
GOLDEN: dict[str, dict[Form, list[str]]] = {
    "5": {
        WINDOW: [
            """\
Predict whether a user will like a film. Users rate films from 0.5 to 5.0 stars; liking a film \
means rating it 4.0 or higher. Answer Yes or No.
Films this user has rated, oldest first, each after its stars:
4.5: Heat (1995) [Crime, Thriller]
3.0: Untitled
Film to judge: Fargo (1996) [Comedy]
Yes or No?"""
        ],
        INTERVIEW: [
            """\
Predict, film after film, whether a user will like the next one. Users rate films from 0.5 to 5.0 \
stars; liking a film means rating it 4.0 or higher. Answer Yes or No; after each answer you are \
told the stars.
First: Heat (1995) [Crime, Thriller]
""",
            "Yes",
            "4.5 stars. Next: Untitled\n",
            "No",
            "3.0 stars. Next: Fargo (1996) [Comedy]\n",
        ],
    }
}


@pytest.mark.parametrize("form", [WINDOW, INTERVIEW])
def test_the_wording_is_that_of_its_version(form: Form):
    renderer = Renderer(PromptSettings(genres=True, form=form))
    history = [
        (4.5, Item(1, "Heat", 1995, ("Crime", "Thriller"))),
        (3.0, Item(2, " ", None, ())),
    ]
    turns = renderer.turns(history, Item(3, "Fargo", 1996, ("Comedy",)))
    assert turns == GOLDEN[PROMPT_VERSION][form]


def test_a_prompt_without_history_has_no_heading_of_one():
    heat = Item(1, "Heat", 1995, ())
    window = Renderer(PromptSettings(form=WINDOW)).turns([], heat)
    assert window == [
        "Predict whether a user will like a film. Users rate films from 0.5 to 5.0 stars; liking a "
        "film means rating it 4.0 or higher. Answer Yes or No.\n"
        "Film to judge: Heat (1995)\nYes or No?"
    ]
    (interview,) = Renderer(PromptSettings(form=INTERVIEW)).turns([], heat)
    assert interview.endswith("you are told the stars.\nFirst: Heat (1995)\n")


@pytest.mark.slow
@given(renderers, histories, items)
def test_a_window_is_one_turn_of_pieces_one_after_another(
    renderer: Renderer, history: list[tuple[float, Item]], candidate: Item
):
    expected = renderer.head() + (renderer.heading() if history else "")
    for given_rating, item in history:
        expected += renderer.rating(given_rating) + renderer.item(item)
    expected += renderer.before_candidate() + renderer.item(candidate) + renderer.question()
    assert renderer.turns(history, candidate) == [expected]


@given(interviewers, histories, items)
def test_an_interview_asks_about_every_film_and_tells_its_stars_afterwards(
    renderer: Renderer, history: list[tuple[float, Item]], candidate: Item
):
    turns = renderer.turns(history, candidate)
    asked, answered = turns[0::2], turns[1::2]
    leads = [renderer.head(), *(renderer.rating(given_rating) for given_rating, _ in history)]
    every = [*(item for _, item in history), candidate]
    assert asked == [lead + renderer.item(item) for lead, item in zip(leads, every, strict=True)]
    threshold = renderer.settings.threshold
    assert answered == ["Yes" if given >= threshold else "No" for given, _ in history]


@given(interviewers, histories, items, items)
def test_an_interview_only_ever_grows_at_its_end(
    renderer: Renderer, history: list[tuple[float, Item]], item: Item, candidate: Item
):
    shorter = renderer.turns(history, item)
    longer = renderer.turns([*history, (4.5, item)], candidate)
    assert longer[: len(shorter)] == shorter
    assert len(longer) == len(shorter) + 2


@given(renderers, histories, items)
def test_every_event_of_a_window_is_one_line(
    renderer: Renderer, history: list[tuple[float, Item]], candidate: Item
):
    (text,) = renderer.turns(history, candidate)
    heading = renderer.heading() if history else ""
    before = (renderer.head() + heading).count("\n")
    after = 2  # the candidate's line and the question
    assert len(text.splitlines()) == text.count("\n") + 1 == before + len(history) + after
    assert text[:1].isalpha()
    assert text[-1:] == "?"


@given(interviewers, histories, items)
def test_every_later_question_of_an_interview_is_one_line(
    renderer: Renderer, history: list[tuple[float, Item]], candidate: Item
):
    first, *later = renderer.turns(history, candidate)[0::2]
    assert len(first.splitlines()) == 2  # the instruction and the first film
    for turn in (first, *later):
        assert turn[:1].isalnum()
        assert turn[-1:] == "\n"
    assert all(len(turn.splitlines()) == 1 for turn in later)


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
    item = Item(1, title, 1999, tuple(genres))
    bare = Renderer(PromptSettings(genres=False)).item(item)
    full = Renderer(PromptSettings(genres=True)).item(item)
    shown = ", ".join(plain_text(genre) for genre in genres)
    assert bare.endswith(" (1999)\n")
    assert full == f"{bare[:-1]} [{shown}]\n"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (Item(1, "Heat", 1995, ()), " Heat (1995)\n"),
        (Item(1, "Heat", None, ()), " Heat\n"),
        (Item(1, "", None, ()), " Untitled\n"),
        (Item(1, "\t\n", 2001, ("Drama",)), " Untitled (2001) [Drama]\n"),
        (Item(1, "Two\r\nLines", 2001, ("A\nB", "C")), " Two Lines (2001) [A B, C]\n"),
    ],
)
def test_films(item: Item, text: str):
    assert Renderer(PromptSettings(genres=True)).item(item) == text


@pytest.mark.parametrize("form", [WINDOW, INTERVIEW])
def test_scale_and_threshold_are_said(form: Form):
    settings = PromptSettings(threshold=3.5, scale_min=1.0, scale_max=4.0, form=form)
    head = Renderer(settings).head()
    assert "from 1.0 to 4.0 stars" in head
    assert "rating it 3.5 or higher" in head


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (3, "3.0"), (4.5, "4.5"), (5.0, "5.0")])
def test_stars_have_one_decimal(value: float, text: str):
    assert Renderer(PromptSettings()).rating(value) == f"{text}:"
    assert Renderer(PromptSettings(form=INTERVIEW)).rating(value) == f"{text} stars. Next:"


def test_answers():
    assert [Renderer.answer(liked) for liked in (True, False)] == ["Yes", "No"]


forms = st.sampled_from([WINDOW, INTERVIEW])


@given(
    st.builds(PromptSettings, threshold=rating, genres=st.booleans(), form=forms, version=st.text())
)
def test_settings_survive_being_stored(settings: PromptSettings):
    assert PromptSettings.from_dict(settings.to_dict()) == settings


def test_settings_carry_the_version():
    assert PromptSettings().to_dict()["version"] == PROMPT_VERSION
