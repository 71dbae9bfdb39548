"""The table of editions."""

from __future__ import annotations

import re

import pytest

from reeltune.errors import FetchError
from reeltune.fetch.editions import EDITIONS, Edition, find_edition
from tests.errors import raises_error


@pytest.mark.parametrize("edition", EDITIONS, ids=lambda edition: edition.name)
def test_every_edition_is_found_by_each_of_its_names(edition: Edition) -> None:
    short = edition.name.removeprefix("ml-")
    for name in (edition.name, short, edition.name.upper(), f" {short} "):
        assert find_edition(name) is edition


@pytest.mark.parametrize("edition", EDITIONS, ids=lambda edition: edition.name)
def test_every_edition_is_complete(edition: Edition) -> None:
    pinned = (edition.md5, edition.users, edition.ratings)
    assert all(value is None for value in pinned) or all(value is not None for value in pinned)
    assert edition.md5 is None or re.fullmatch("[0-9a-f]{32}", edition.md5)
    assert edition.url() == f"https://files.grouplens.org/datasets/movielens/{edition.name}.zip"
    assert all(line and "\n" not in line for line in edition.terms)


def test_names_and_checksums_are_distinct() -> None:
    aliases = [alias for edition in EDITIONS for alias in edition.aliases]
    checksums = [edition.md5 for edition in EDITIONS if edition.md5]
    assert len(set(aliases)) == len(aliases) == 16
    assert len(set(checksums)) == len(checksums) == 7


@pytest.mark.parametrize("name", ["ml-100k", "1m", "10m", "20m", "25m"])
def test_editions_that_may_not_be_passed_on_have_their_own_terms(name: str) -> None:
    private, shared = find_edition(name).terms, find_edition("ml-latest-small").terms
    assert private == find_edition("ml-100k").terms
    assert private[0] == shared[0]
    assert private[1] != shared[1] == find_edition("ml-32m").terms[1]


def test_header_is_counted_only_where_there_is_one() -> None:
    assert find_edition("latest").header_lines == 1
    assert find_edition("1m").header_lines == find_edition("100k").header_lines == 0


def test_base_url_may_end_in_a_slash() -> None:
    assert find_edition("1m").url("http://mirror/films/") == "http://mirror/films/ml-1m.zip"


def test_unknown_name_names_the_nearest() -> None:
    with raises_error(FetchError, "unknown_edition", figures=["'ml-23m'"]) as caught:
        find_edition("ml-23m")
    named = re.findall(r"ml-[\w-]+", str(caught.value.hint))
    assert named == ["ml-32m", *(edition.name for edition in EDITIONS)]
