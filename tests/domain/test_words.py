"""The words of a domain, and the prompts made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reeltune.domain import (
    FILM,
    INTERVIEW,
    SIGNALS,
    WINDOW,
    Domain,
    Form,
    Item,
    PromptSettings,
    RatingScale,
    RatingWords,
    Renderer,
)
from reeltune.domain.words import problems_of

BOOK = Domain(name="book", item="book", items="books")
ALBUM = Domain(name="album", item="album", items="albums", like="enjoy", liking="enjoying")
TEN = RatingScale(1.0, 10.0, 1.0)
HISTORY = [(8.0, Item(1, "Emma", 1815, ())), (5.0, Item(2, "Ulysses", 1922, ()))]
CANDIDATE = Item(3, "Dune", 1965, ())


@pytest.mark.parametrize(
    ("scale", "rating", "said", "label"),
    [
        (RatingScale(0.5, 5.0, 0.5), 4.5, "4.5 stars", "4.5"),
        (RatingScale(1.0, 5.0, 1.0), 4, "4.0 stars", "4.0"),
        (RatingScale(0.25, 5.0, 0.25), 3.75, "3.75 stars", "3.75"),
        (TEN, 8, "8 of 10", "8"),
        (RatingScale(0.0, 10.0, 0.5), 10, "10.0 of 10.0", "10.0"),
        (RatingScale(0.0, 10.0, 0.1), 0.30000001192092896, "0.3 of 10.0", "0.3"),
        (RatingScale(0.0, 100.0, 1.0), 73, "73 of 100", "73"),
        (RatingScale(0.0, 1.0, 1.0), 1, "liked", "liked"),
        (RatingScale(0.0, 1.0, 1.0), 0, "not liked", "not liked"),
        (RatingScale(0.0, 1.0, 0.5), 0.5, "0.5 of 1.0", "0.5"),
    ],
)
def test_a_rating_is_said_as_its_scale_asks(
    scale: RatingScale, rating: float, said: str, label: str
):
    words = RatingWords(BOOK, scale)
    assert (words.said(rating), words.label(rating)) == (said, label)


def test_a_number_between_two_ratings_keeps_its_digits():
    assert RatingWords(BOOK, TEN).number(6.5) == "6.5"
    assert RatingWords(FILM, RatingScale(0.5, 5.0, 0.5)).number(3.75) == "3.75"


def test_a_unit_is_named_on_any_scale_of_numbers():
    words = RatingWords(Domain(unit="points"), TEN)
    assert (words.said(8), words.noun) == ("8 points", "points")
    assert "from 1 to 10 points; liking a film means rating it 7 or higher" in words.instruction(7)


def test_a_window_of_another_domain():
    settings = PromptSettings(threshold=7.0, scale_min=1.0, scale_max=10.0, domain=BOOK)
    assert Renderer(settings).turns(HISTORY, CANDIDATE) == [
        """\
Predict whether a user will like a book. Users rate books from 1 to 10; liking a book means rating \
it 7 or higher. Answer Yes or No.
Books this user has rated, oldest first, each after its rating:
8: Emma (1815)
5: Ulysses (1922)
Book to judge: Dune (1965)
Yes or No?"""
    ]


def test_an_interview_of_another_domain():
    settings = PromptSettings(7.0, 1.0, 10.0, form=INTERVIEW, signals=tuple(SIGNALS), domain=ALBUM)
    assert Renderer(settings).turns(HISTORY, CANDIDATE) == [
        """\
Predict, album after album, whether a user will enjoy the next one. Users rate albums from 1 to \
10; enjoying an album means rating it 7 or higher. Answer Yes or No; after each answer you are \
told the rating. Under each album you are told the share of other users who liked it and how many \
rated it, then the share of albums this user has liked so far and how many they are, then that \
share of the newest ones, then how likely this user is expected to enjoy it.
First: Emma (1815)
""",
        "Yes",
        "8 of 10. Next: Ulysses (1922)\n",
        "No",
        "5 of 10. Next: Dune (1965)\n",
    ]


LIKES = PromptSettings(
    1.0, 0.0, 1.0, scale_step=1.0, signals=("user",), domain=Domain("song", "song", "songs")
)
LIKED = [(1.0, Item(1, "Yesterday", 1965, ())), (0.0, Item(2, "Hurt", None, ()))]


def test_a_window_of_likes():
    assert Renderer(LIKES).turns(LIKED, CANDIDATE) == [
        """\
Predict whether a user will like a song. Users rate songs as liked or not liked. Answer Yes or No. \
Under the song to judge you are told the share of songs this user has liked so far and how many \
they are.
Songs this user has rated, oldest first, each after its rating:
liked: Yesterday (1965)
not liked: Hurt
Song to judge: Dune (1965)
Yes or No?"""
    ]


def test_an_interview_of_likes():
    assert Renderer(replace(LIKES, form=INTERVIEW, signals=())).turns(LIKED, CANDIDATE) == [
        """\
Predict, song after song, whether a user will like the next one. Users rate songs as liked or not \
liked. Answer Yes or No; after each answer you are told the rating.
First: Yesterday (1965)
""",
        "Yes",
        "Liked. Next: Hurt\n",
        "No",
        "Not liked. Next: Dune (1965)\n",
    ]


@pytest.mark.parametrize("form", [WINDOW, INTERVIEW])
def test_no_word_of_films_is_left_in_another_domain(form: Form):
    settings = PromptSettings(7.0, 1.0, 10.0, form=form, signals=tuple(SIGNALS), domain=BOOK)
    text = "".join(Renderer(settings).turns(HISTORY, CANDIDATE)).lower()
    assert not any(word in text for word in ("film", "movie", "star"))


def test_settings_of_films_are_stored_as_they_were_before_there_were_domains():
    assert "domain" not in PromptSettings().to_dict()
    assert PromptSettings.from_dict(PromptSettings().to_dict()).domain == FILM


@pytest.mark.parametrize("domain", [BOOK, ALBUM, Domain(unit="points", article="the")])
def test_settings_of_another_domain_survive_being_stored(domain: Domain):
    settings = PromptSettings(domain=domain)
    assert PromptSettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    "changes",
    [
        {"item": ""},
        {"item": "b" * 41},
        {"item": "book\nYes"},
        {"items": "two  spaces"},
        {"liked": "<|im_end|>"},
        {"liked": " liked"},
        {"unit": "stars:"},
        {"unit": "-"},
        {"item": 7},
        {"colour": "red"},
    ],
    ids=str,
)
def test_words_that_a_prompt_cannot_have_are_refused(changes: dict[str, Any]):
    (key,) = changes
    with pytest.raises(ValueError, match=key):
        Domain.from_dict({**BOOK.to_dict(), **changes})


def test_unknown_words_are_reported_in_their_order():
    odd = [f"word{n}" for n in range(9)]
    problems = problems_of(BOOK.to_dict() | dict.fromkeys(odd, "red"))
    assert [key for key, _ in problems] == odd


@pytest.mark.parametrize("values", [{"name": "book", "item": "book"}, [], None], ids=str)
def test_what_is_no_domain_is_refused(values: Any):
    with pytest.raises(ValueError, match=r"items|domain"):
        Domain.from_dict(values)


@pytest.mark.parametrize("word", ["Blu-ray", "reader's choice", "фильм", "livre d\u2019art", "本"])
def test_words_of_any_language_are_kept(word: str):
    assert Domain.from_dict({**BOOK.to_dict(), "item": word}).item == word
