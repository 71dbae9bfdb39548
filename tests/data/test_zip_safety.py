"""Zips that are broken, hostile or no zips."""

import zipfile

import pytest

from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings
from reeltune.errors import DataError
from tests.errors import raises_error

from .editions import items, timeline, write_edition, write_zip


@pytest.fixture
def archive(tmp_path):
    source = write_edition(tmp_path / "in", timeline(1, 40), items(40))
    return write_zip(tmp_path / "edition.zip", source)


def left_behind(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "in")


def test_truncated_zip(tmp_path, archive) -> None:
    archive.write_bytes(archive.read_bytes()[:-30])
    with raises_error(DataError, "not_a_zip", where=str(archive)):
        prepare(archive, PrepareSettings(tmp_path / "out"))
    assert left_behind(tmp_path) == ["edition.zip"]


def test_damaged_member(tmp_path, archive) -> None:
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        offset = opened.getinfo("ratings.csv").header_offset + 60
    data[offset : offset + 20] = bytes(20)
    archive.write_bytes(data)
    with raises_error(DataError, "bad_zip", where=str(archive)):
        prepare(archive, PrepareSettings(tmp_path / "out"))
    assert left_behind(tmp_path) == ["edition.zip"]


def test_members_that_point_outside_stay_inside(tmp_path, archive) -> None:
    hostile = tmp_path / "hostile.zip"
    with zipfile.ZipFile(archive) as good, zipfile.ZipFile(hostile, "w") as bad:
        for name in good.namelist():
            bad.writestr(f"../../{name}", good.read(name))
    prepare(hostile, PrepareSettings(tmp_path / "deep" / "er" / "out"))
    assert left_behind(tmp_path) == ["deep", "edition.zip", "hostile.zip"]
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["out"]


def test_encrypted_member(tmp_path, archive) -> None:
    data = bytearray(archive.read_bytes())
    central = data.rindex(b"PK\x01\x02", 0, data.index(b"PK\x05\x06"))
    first = data.index(b"PK\x01\x02")
    for start in {first, central}:
        data[start + 8] |= 1
    archive.write_bytes(data)
    with raises_error(DataError, "encrypted_zip", where=str(archive), figures=["ratings.csv"]):
        prepare(archive, PrepareSettings(tmp_path / "out"))


def test_file_that_is_no_zip(tmp_path) -> None:
    source = write_edition(tmp_path / "in", timeline(1, 40), items(40))
    with raises_error(DataError, "not_a_zip", where="ratings.csv", figures=["--ratings-dir"]):
        prepare(source / "ratings.csv", PrepareSettings(tmp_path / "out"))


def test_no_such_path(tmp_path) -> None:
    with raises_error(DataError, "ratings_not_found", where=str(tmp_path / "nowhere")):
        prepare(tmp_path / "nowhere", PrepareSettings(tmp_path / "out"))
    assert left_behind(tmp_path) == []
