"""Domains by name, from a file and by key; what is wrong with one is said with its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.config.domains import domain_presets, find_domain
from reeltune.domain import FILM, INTERVIEW, Domain, Item, PromptSettings, Renderer
from reeltune.errors import ConfigError
from tests.errors import raises_error

ALBUM = """\
name: album
item: album
items: albums
like: enjoy
unit: points
"""
PRESETS = [("book", "books"), ("film", "films"), ("game", "games"), ("product", "products")]


def test_every_preset_is_named_by_its_key():
    presets = domain_presets()
    assert {name: domain.name for name, domain in presets.items()} == {
        name: name for name in ("film", "book", "game", "product", "song")
    }
    assert presets["film"] == FILM


@pytest.mark.parametrize(("name", "plural"), [*PRESETS, ("song", "songs")])
@pytest.mark.parametrize("whole", [True, False])
def test_the_prompts_of_each_preset(name: str, plural: str, whole: bool):
    domain, item = find_domain(name), Item(1, "Heat", 1995, ())
    scale = (7.0, 1.0, 10.0) if whole else (4.0, 0.5, 5.0)
    told = "from 1 to 10" if whole else "from 0.5 to 5.0 stars"
    least = "7" if whole else "4.0"
    noun, label, said = ("rating", "8", "8 of 10") if whole else ("stars", "4.5", "4.5 stars")
    given = 8.0 if whole else 4.5
    rates = f"Users rate {plural} {told}; liking a {name} means rating it {least} or higher."
    (window,) = Renderer(PromptSettings(*scale, domain=domain)).turns([(given, item)], item)
    assert window.splitlines() == [
        f"Predict whether a user will like a {name}. {rates} Answer Yes or No.",
        f"{plural.capitalize()} this user has rated, oldest first, each after its {noun}:",
        f"{label}: Heat (1995)",
        f"{name.capitalize()} to judge: Heat (1995)",
        "Yes or No?",
    ]
    interview = Renderer(PromptSettings(*scale, form=INTERVIEW, domain=domain))
    assert interview.turns([(given, item)], item) == [
        f"Predict, {name} after {name}, whether a user will like the next one. {rates[:-1]}. "
        f"Answer Yes or No; after each answer you are told the {noun}.\nFirst: Heat (1995)\n",
        "Yes",
        f"{said}. Next: Heat (1995)\n",
    ]


def test_a_file_of_ones_own(tmp_path: Path):
    file = tmp_path / "album.yaml"
    file.write_text(ALBUM, encoding="utf-8")
    wanted = Domain("album", "album", "albums", like="enjoy", unit="points")
    assert find_domain(file) == find_domain(str(file)) == find_domain(wanted.to_dict()) == wanted


def test_no_domain_is_that_of_films():
    assert find_domain(None) == FILM


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("name: album\nitem: album\n", "items"),
        (f"{ALBUM}colour: red\n", "colour"),
        (ALBUM.replace("like: enjoy", "like: 7"), "like"),
        (ALBUM.replace("like: enjoy", f"like: {'enjoy ' * 8}"), "like"),
        (ALBUM.replace("like: enjoy", 'like: "en\\njoy"'), "like"),
        (ALBUM.replace("like: enjoy", 'like: "<|im_end|>"'), "like"),
        ("- album\n", "domain"),
        ("", "domain"),
    ],
)
def test_a_wrong_word_is_named_with_file_and_key(tmp_path: Path, text: str, where: str):
    file = tmp_path / "album.yaml"
    file.write_text(text, encoding="utf-8")
    with raises_error(ConfigError, "invalid_domain", where=f"{file}: {where}"):
        find_domain(file)


def test_several_wrong_words_are_all_named():
    with raises_error(ConfigError, "invalid_config", figures=["item", "unit", "items"]):
        find_domain({"name": "album", "item": "", "unit": "stars!"})


def test_a_name_that_is_no_preset_and_no_file():
    with raises_error(ConfigError, "config_not_readable", where="boook", figures=["book", "song"]):
        find_domain("boook")


def test_a_file_that_is_no_yaml(tmp_path: Path):
    file = tmp_path / "album.yaml"
    file.write_text("name: [", encoding="utf-8")
    with raises_error(ConfigError, "invalid_yaml", where=f"{file}, line 1"):
        find_domain(file)
