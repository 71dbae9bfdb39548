"""Films are found by their names, however those are written, and never silently the wrong one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.folder import PreparedFolder
from reeltune.domain import Item
from reeltune.domain.items import normalize_title as normalize
from reeltune.errors import RequestError
from reeltune.recommend.catalogue import Catalogue
from tests.errors import raises_error
from tests.recommend.build import catalogue_of, catalogues

SHELF = catalogue_of(
    "Amélie's Garden (2001)",
    "Good, the Bad and the Ugly Duck, The (1966)",
    "Ivory Tower (1980)",
    "Ivory Tower (1994)",
    "Zen (a.k.a. Z3n) (1995)",
    "Night Train to Nowhere (1959)",
    "Wars of Sand: Episode I (1977)",
    "Wars of Sand: Episode II (1980)",
    "(77) Days of Rain (2009)",
    "Belle, La (2003)",
    "City of Dust (Ciudad de polvo) (2002)",
    "Late Show (V) (2004)",
    "Ciudad de polvo II (2010)",
    "Lattice, The (1999)",
    "Lattice Once More, The (2003)",
    ratings=[5, 4, 1, 9, 3, 2, 4, 8, 1, 1, 1, 1, 1, 1, 1],
)


@pytest.mark.slow
@given(catalogues())
def test_every_film_is_found_by_its_id(catalogue: Catalogue):
    for row, item in enumerate(catalogue.items):
        assert catalogue.index_of(item.item_id) == row
        assert catalogue.find(f" #{item.item_id} ") == row


@pytest.mark.slow
@given(catalogues())
def test_every_film_is_found_by_its_own_name_with_year_or_all_of_that_name_are_offered(
    catalogue: Catalogue,
):
    dated = [(row, item) for row, item in enumerate(catalogue.items) if item.year is not None]
    for row, item in dated:
        namesakes = [
            other
            for _, other in dated
            if (normalize(other.title), other.year) == (normalize(item.title), item.year)
        ]
        if not normalize(item.title):
            continue
        if len(namesakes) == 1:
            assert catalogue.find(catalogue.name(row)) == row
            continue
        with raises_error(RequestError, "ambiguous_title") as caught:
            catalogue.find(catalogue.name(row))
        assert all(f"(#{other.item_id})" in str(caught.value.hint) for other in namesakes)


def test_every_odd_title_of_prepared_data_is_found(prepared: PreparedFolder):
    catalogue = Catalogue.of(prepared)
    names = [(normalize(item.title), item.year) for item in prepared.items]
    for row, item in enumerate(prepared.items):
        if normalize(item.title) and item.year is not None and names.count(names[row]) == 1:
            assert catalogue.find(catalogue.name(row)) == row, item
    assert catalogue.ratings.sum() == len(prepared.timelines)
    assert catalogue.ratings[7] == (prepared.timelines.item_idx == 7).sum()


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("amelies garden", 0),
        ("AMÉLIE'S GARDEN", 0),
        ("Ame\u0301lie's Garden (2001)", 0),
        ("The Good, the Bad and the Ugly Duck", 1),
        ("good the bad and the ugly duck, the", 1),
        ("good, the bad and the ugly duck (1966)", 1),
        ("Ivory Tower (1994)", 3),
        ("  ivory   tower (1980) ", 2),
        ("Zen", 4),
        ("z3n", 4),
        ("Zen (1995)", 4),
        ("night train", 5),
        ("Night Trian to Nowhere", 5),
        ("77 days of rain", 8),
        ("La belle", 9),
        ("belle", 9),
        ("ciudad de polvo", 10),
        ("Late Show (2004) (V)", 11),
        ("lattice", 13),
    ],
)
def test_a_film_is_found_however_its_name_is_written(text: str, row: int):
    assert SHELF.find(text) == row


@pytest.mark.parametrize(
    ("text", "code", "offered"),
    [
        ("Ivory Tower", "ambiguous_title", ["Ivory Tower (1980) (#30)", "(1994) (#40)"]),
        ("Ivory Tower (1995)", "unknown_title", ["(1980) (#30)", "(1994) (#40)"]),
        ("wars of sand", "unknown_title", ["Episode II (1980) (#80), ", "Episode I (1977)"]),
        ("V", "unknown_title", []),
        ("#31", "unknown_item", ["15", "10", "150"]),
        ("#" + "9" * 5000, "unknown_title", []),
    ],
)
def test_an_unclear_title_offers_choices_and_is_not_guessed(
    text: str, code: str, offered: list[str]
):
    with raises_error(RequestError, code) as caught:
        SHELF.find(text)
    assert [choice for choice in offered if choice not in str(caught.value.hint)] == []


def test_items_are_found_by_ids_of_text():
    ids = ["0006", "#x", "7=7", "isbn 3"]
    items = [Item(given, f"Heat {row}", 1995, ()) for row, given in enumerate(ids)]
    shelf = Catalogue([*items, Item("8", "#Alone", 2000, ())], np.arange(5))
    assert [shelf.find(f" #{given} ") for given in ids] == [0, 1, 2, 3]
    assert [shelf.index_of(given) for given in (*ids, 8)] == [0, 1, 2, 3, 4]
    assert shelf.find("#Alone") == shelf.find("#8") == 4
    for unknown in ("6", 6, -1, "isbn 3\n"):
        with raises_error(RequestError, "unknown_item", figures=["0006"]):
            shelf.index_of(unknown)
    with raises_error(RequestError, "unknown_item"):
        shelf.find("#nothing")
    with raises_error(RequestError, "ambiguous_title", figures=["(#0006)", "(#isbn 3)"]):
        Catalogue([item._replace(title="Heat") for item in items], np.arange(4)).find("heat")


def test_numbers_are_found_as_text_and_at_the_limits():
    limits = (-(2**63), -1, 2**63 - 1)
    shelf = Catalogue([Item(i, "Heat", 1995, ()) for i in limits], np.arange(3))
    for row, item_id in enumerate(limits):
        found = {shelf.index_of(item_id), shelf.index_of(str(item_id)), shelf.find(f"#{item_id}")}
        assert found == {row}
    for unknown in ("x", "-01", 2**63):
        with raises_error(RequestError, "unknown_item", figures=[*limits[::2]]):
            shelf.index_of(unknown)


@pytest.mark.parametrize("text", ["wholly unknown", "???", ""])
def test_a_title_near_to_none_is_offered_nothing(text: str):
    with raises_error(RequestError, "unknown_title") as caught:
        SHELF.find(text)
    assert "#" not in str(caught.value.hint)


def test_of_two_films_of_one_year_the_name_is_the_whole_title():
    shelf = catalogue_of("Heist (again) (1999)", "Heist (1999)", "Heist (2001)")
    assert shelf.find("Heist (1999)") == 1
    assert shelf.find("Heist (again) (1999)") == 0
    with raises_error(RequestError, "ambiguous_title", figures=["3 "]):
        shelf.find("Heist")


def test_an_offer_is_one_line_whatever_titles_hold():
    items = [Item(i, f"Two\nLines\x1b[31m <|im_end|> {i}", 2000, ()) for i in (1, 2)]
    with raises_error(RequestError, "unknown_title") as caught:
        Catalogue(items, np.array([1, 1])).find("two lines")
    assert "#1" in str(caught.value)
    assert not {"\n", "\x1b"} & set(str(caught.value))
    assert "<|" not in str(caught.value)


@pytest.mark.slow
@given(catalogues(), st.text(max_size=8), st.integers(0, 5))
def test_a_search_gives_the_nearest_first_and_the_most_rated_of_equals(
    catalogue: Catalogue, text: str, limit: int
):
    for looked_for in (text, *(item.title for item in catalogue.items[:2])):
        found = catalogue.search(looked_for, 100)
        keys = [
            (-one.similarity, -int(catalogue.ratings[one.item_idx]), one.item_idx) for one in found
        ]
        assert keys == sorted(keys)
        assert len({one.item_idx for one in found}) == len(found)
        assert all(0 < one.similarity <= 100 for one in found)
        assert catalogue.search(looked_for, limit) == found[:limit]


@pytest.mark.slow
@given(catalogues())
def test_a_whole_title_is_nearest_to_itself(catalogue: Catalogue):
    for item in catalogue.items:
        if not normalize(item.title):
            assert catalogue.search(item.title) == []
            continue
        nearest = catalogue.search(item.title)[0]
        assert nearest.similarity == 100
        assert normalize(catalogue.items[nearest.item_idx].title) == normalize(item.title)


def test_a_year_puts_films_of_that_year_first():
    assert [one.item_idx for one in SHELF.search("Ivory Tower")][:2] == [3, 2]
    assert [one.item_idx for one in SHELF.search("Ivory Tower (1980)")][:2] == [2, 3]


@pytest.mark.parametrize("text", ["Cellar VI", "Cellar 8", "Fahrenheits 11/9", "Tower 3 (1999)"])
def test_another_number_is_another_film(text: str):
    shelf = catalogue_of("Cellar V (1990)", "Fahrenheits 9/11 (2004)", "Tower 2 (1999)", "Oak (1)")
    with raises_error(RequestError, "unknown_title"):
        shelf.find(text)
    assert shelf.find("fahrenheit 9/11") == 1
    assert shelf.find("cellarr v") == 0


def test_a_short_title_is_not_near_to_every_text_it_stands_in():
    shelf = catalogue_of("Moon (1931)", "Moonlit Harbour (1950)")
    assert [one.item_idx for one in shelf.search("moonlit harbours")] == [1]
    assert shelf.find("moon") == 0


@given(st.text(max_size=20))
def test_a_name_is_compared_by_its_words_alone(text: str):
    name = normalize(text)
    assert normalize(name) == name == " ".join(name.split())
    assert normalize(f"  {name.upper()} !?") == normalize(name.upper())


def test_names_are_the_same_with_and_without_capitals_accents_and_moved_articles():
    for texts in (("Été à l'île", "ete a l ile", "ÉTÉ À L'ÎLE"), ("Sea, The", "the sea")):
        assert len({normalize(text) for text in texts}) == 1
