"""Hostile and damaged zip files: an error of the caller's class, and no more bytes than named."""

from __future__ import annotations

import os
import stat
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reeltune.errors import DataError
from reeltune.zips import check_members, copy_member, open_zip
from tests.errors import raises_error

CONTENT = b"".join(b"%d,%d\n" % (n, n * n) for n in range(1000))
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
CENTRAL = b"PK\x01\x02"
"""Begins the entry of a member in the directory; the offsets below count from there."""


def unpack(path: Path, target: Path) -> None:
    with open_zip(path, DataError) as archive:
        check_members(path, archive.infolist())
        for member in archive.infolist():
            copy_member(archive, member, target)


def write_zip(path: Path, method: int = zipfile.ZIP_DEFLATED, name: str = "a/b") -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, CONTENT)
    return path


def patch(path: Path, change: Callable[[bytearray, int], object]) -> Path:
    data = bytearray(path.read_bytes())
    change(data, data.index(CENTRAL))
    path.write_bytes(data)
    return path


def put(form: str, offset: int, value: int) -> Callable[[bytearray, int], object]:
    return lambda data, entry: struct.pack_into(form, data, entry + offset, value)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_read_and_damage_is_an_error(tmp_path: Path, method: int):
    archive = write_zip(tmp_path / "a.zip", method)
    unpack(archive, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == CONTENT
    (tmp_path / "b").unlink()

    def damage(data: bytearray, _entry: int) -> None:
        for i in range(100, 110):
            data[i] ^= 0xFF

    with raises_error(DataError, "bad_zip", where="a.zip"):
        unpack(patch(archive, damage), tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(put("<I", 24, len(CONTENT) - 100), "bad_zip", id="larger than named"),
        pytest.param(put("<I", 24, len(CONTENT) + 100), "bad_zip", id="smaller than named"),
        pytest.param(put("<I", 24, 0xFFFFFFFE), "zip_expands_too_far", id="named as 4 GB"),
        pytest.param(put("<I", 16, 0), "bad_zip", id="another CRC"),
        pytest.param(put("<I", 42, 0x7FFFFFFF), "bad_zip", id="begins after the end"),
        pytest.param(put("<I", 42, 3), "bad_zip", id="begins within another"),
        pytest.param(put("<H", 10, 97), "bad_zip", id="unknown method"),
        pytest.param(put("<H", 6, 99), "bad_zip", id="unknown version"),
        pytest.param(put("<H", 8, 1), "encrypted_zip", id="encrypted"),
        pytest.param(put("<H", 8, 0x40), "bad_zip", id="strongly encrypted"),
        pytest.param(put("<I", 38, (stat.S_IFLNK | 0o777) << 16), "bad_zip", id="link"),
        pytest.param(put("<I", 38, (stat.S_IFIFO | 0o644) << 16), "bad_zip", id="fifo"),
        pytest.param(put("<Q", -500, 0), "bad_zip", id="zeros"),
    ],
)
def test_a_damaged_or_hostile_entry_is_an_error(tmp_path: Path, change, code: str):
    archive = patch(write_zip(tmp_path / "a.zip"), change)
    with raises_error(DataError, code, where="a.zip"):
        unpack(archive, tmp_path / "b")


def test_a_name_that_is_not_utf8_is_an_error(tmp_path: Path):
    archive = write_zip(tmp_path / "a.zip", name="a/\u00e9")
    archive.write_bytes(archive.read_bytes().replace("\u00e9".encode(), b"\xff\xff"))
    with raises_error(DataError, "bad_zip", where="a.zip"):
        unpack(archive, tmp_path / "b")


def test_names_that_differ_only_in_case_are_duplicates(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/B", "1")
        archive.writestr("A//b", "2")
    with raises_error(DataError, "bad_zip", figures=["a/b", 2]):
        unpack(tmp_path / "a.zip", tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"\x1f\x8b\x08", b"version https://git-lfs.github.com", b"PK\x03\x04"],
)
def test_another_format_is_an_error(tmp_path: Path, content: bytes):
    (tmp_path / "a.zip").write_bytes(content)
    with raises_error(DataError, "not_a_zip", where="a.zip"):
        unpack(tmp_path / "a.zip", tmp_path / "b")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_a_fifo_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.zip")
    with raises_error(DataError, "not_a_zip", where="a.zip"):
        unpack(tmp_path / "a.zip", tmp_path / "b")


@pytest.mark.parametrize("cut", [1, 40, -400])
def test_the_beginning_or_the_end_of_a_zip_is_an_error(tmp_path: Path, cut: int):
    archive = write_zip(tmp_path / "a.zip")
    archive.write_bytes(archive.read_bytes()[cut:] if cut < 0 else archive.read_bytes()[:-cut])
    code = "bad_zip" if cut < 0 else "not_a_zip"
    with raises_error(DataError, code, where="a.zip"):
        unpack(archive, tmp_path / "b")


@pytest.mark.slow
def test_a_bomb_of_bzip2_that_names_a_small_size_takes_little_memory(tmp_path: Path):
    """As zipfile decompresses each 4 KB as a whole, all of it would be in memory at once."""
    archive = tmp_path / "a.zip"
    with (
        zipfile.ZipFile(archive, "w", zipfile.ZIP_BZIP2) as opened,
        opened.open("a", "w") as member,
    ):
        for _ in range(300):
            member.write(bytes(1 << 20))
    patch(archive, put("<I", 24, 5000))
    tracemalloc.start()
    with raises_error(DataError, "bad_zip"):
        unpack(archive, tmp_path / "b")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20
    assert (tmp_path / "b").stat().st_size <= 5000
