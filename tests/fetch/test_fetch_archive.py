"""Zip files: an edition is unpacked flat, and nothing is ever written outside its folder."""

from __future__ import annotations

import io
import stat
import tempfile
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune import zips
from reeltune.errors import FetchError
from reeltune.fetch.archive import unpack
from reeltune.fetch.editions import find_edition
from tests.errors import raises_error

from .conftest import MOVIES, RATINGS, zip_bytes

EDITION = find_edition("ml-latest-small")
GOOD = {"ml-latest-small/ratings.csv": RATINGS, "ml-latest-small/movies.csv": MOVIES}


def write_zip(path: Path, *extra: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    """A good edition followed by ``extra`` members."""
    buffer = io.BytesIO(zip_bytes(GOOD))
    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as opened,
    ):
        warnings.simplefilter("ignore")  # duplicate names are part of what is tested
        for member, content in extra:
            opened.writestr(member, content)
    path.write_bytes(buffer.getvalue())
    return path


def with_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "deep" / "target"
    made.mkdir(parents=True)
    return made


@pytest.mark.parametrize(
    ("member", "code"),
    [
        ("/etc/evil", "unsafe_zip_member"),
        ("ml-latest-small//etc/evil", "unsafe_zip_member"),
        ("C:/evil", "unsafe_zip_member"),
        ("ml-latest-small/C:evil", "unsafe_zip_member"),
        ("../evil", "unsafe_zip_member"),
        ("ml-latest-small/../../evil", "unsafe_zip_member"),
        ("ml-latest-small/..", "unsafe_zip_member"),
        ("..\\evil", "unsafe_zip_member"),
        ("ml-latest-small\\evil", "unsafe_zip_member"),
        (with_mode("ml-latest-small/link", stat.S_IFLNK | 0o777), "special_zip_member"),
        (with_mode("ml-latest-small/pipe", stat.S_IFIFO | 0o644), "special_zip_member"),
    ],
)
def test_hostile_member_is_refused_before_anything_is_written(
    tmp_path: Path, folder: Path, member: zipfile.ZipInfo | str, code: str
) -> None:
    archive = write_zip(tmp_path / "a.zip", (member, b"/etc/passwd"))
    before = tree(tmp_path)
    name = member if isinstance(member, str) else member.filename
    with raises_error(FetchError, code, where="a.zip", figures=[repr(name)]):
        unpack(archive, folder, EDITION)
    assert tree(tmp_path) == before


def test_name_with_a_nul_is_refused(tmp_path: Path, folder: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", ("ml-latest-small/good#.csv", b"x"))
    archive.write_bytes(archive.read_bytes().replace(b"good#.csv", b"good\0.csv"))
    with raises_error(FetchError, "unsafe_zip_member", figures=["good"]):
        unpack(archive, folder, EDITION)


@given(
    st.lists(
        st.tuples(
            st.text(st.sampled_from("ab./\\:~é "), min_size=1, max_size=12),
            st.sampled_from(["", "ml-latest-small/"]),
        ),
        max_size=3,
    )
)
def test_no_name_writes_outside_the_folder(names: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        outside = Path(scratch)
        target = outside / "deep" / "target"
        target.mkdir(parents=True)
        extra = [(prefix + name, b"evil") for name, prefix in names]
        archive = write_zip(outside / "a.zip", *extra)
        try:
            left_out = unpack(archive, target, EDITION)
        except FetchError:
            left_out = []
        else:
            assert (target / "ratings.csv").read_text() == RATINGS
        assert set(outside.iterdir()) == {archive, outside / "deep"}
        assert set((outside / "deep").iterdir()) == {target}
        assert not any(name.startswith("ml-latest-small/") for name in left_out)


@pytest.mark.parametrize("root", ["ml-10M100K/", "renamed/", ""])
def test_files_are_directly_in_the_folder(tmp_path: Path, folder: Path, root: str) -> None:
    files = {"ratings.dat": "1::2::3::4\n", "movies.dat": "2::A (1999)::Drama\n", "README": "r"}
    archive = tmp_path / "a.zip"
    archive.write_bytes(zip_bytes({root + name: text for name, text in files.items()}))
    assert unpack(archive, folder, find_edition("10m")) == []
    assert tree(folder) == {name: text.encode() for name, text in files.items()}


def test_other_members_are_left_out_and_named(tmp_path: Path, folder: Path) -> None:
    archive = write_zip(
        tmp_path / "a.zip", ("__MACOSX/._ratings.csv", b"x"), ("other/ratings.csv", b"y")
    )
    left_out = unpack(archive, folder, EDITION)
    assert left_out == ["__MACOSX/._ratings.csv", "other/ratings.csv"]
    assert tree(folder) == {"ratings.csv": RATINGS.encode(), "movies.csv": MOVIES.encode()}


def test_another_edition_is_recognised_as_such(tmp_path: Path, folder: Path) -> None:
    archive = write_zip(tmp_path / "a.zip")
    with raises_error(
        FetchError,
        "edition_files_missing",
        where="a.zip",
        figures=["ratings.dat", "movies.dat", "ml-1m"],
    ):
        unpack(archive, folder, find_edition("1m"))


def test_same_name_twice_is_refused(tmp_path: Path, folder: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", ("ml-latest-small/ratings.csv", b"another"))
    with raises_error(FetchError, "duplicate_zip_member", figures=["ratings.csv", 2]):
        unpack(archive, folder, EDITION)
    assert tree(folder) == {}


def test_file_that_is_also_a_folder_is_refused(tmp_path: Path, folder: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", ("ml-latest-small/ratings.csv/inner", b"x"))
    with raises_error(FetchError, "cannot_unpack", where="a.zip"):
        unpack(archive, folder, EDITION)


@pytest.mark.slow
def test_bomb_is_refused_by_expansion(tmp_path: Path, folder: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", ("ml-latest-small/tags.csv", b"0" * (101 << 20)))
    content = len(RATINGS) + len(MOVIES)
    with raises_error(FetchError, "zip_too_large", figures=[f"{(101 << 20) + content:,}"]):
        unpack(archive, folder, EDITION)
    assert tree(folder) == {}


def test_bomb_is_refused_by_size(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "_MAX_BYTES", 100)
    archive = write_zip(tmp_path / "a.zip")
    with raises_error(FetchError, "zip_too_large", figures=[len(RATINGS) + len(MOVIES), 100]):
        unpack(archive, folder, EDITION)


@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", zip_bytes(GOOD)[:-40]])
def test_not_a_zip_file(tmp_path: Path, folder: Path, content: bytes) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    with raises_error(FetchError, "not_a_zip_file", where="a.zip"):
        unpack(archive, folder, EDITION)


def test_empty_zip_file(tmp_path: Path, folder: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zip_bytes({}))
    with raises_error(FetchError, "empty_zip_file", where="a.zip"):
        unpack(archive, folder, EDITION)


@pytest.mark.parametrize("part", range(5))
def test_damaged_content_never_passes(tmp_path: Path, folder: Path, part: int) -> None:
    archive = write_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(archive) as opened:
        member = opened.infolist()[0]
    begin = member.header_offset + 30 + len(member.filename)  # 30: the fixed part of its header
    content = bytearray(archive.read_bytes())
    content[begin + part * member.compress_size // 5] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(FetchError):
        unpack(archive, folder, EDITION)


def test_encrypted_member_is_refused(tmp_path: Path, folder: Path) -> None:
    archive = write_zip(tmp_path / "a.zip")
    content = bytearray(archive.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 8] |= 1  # the flag in the central directory
    archive.write_bytes(content)
    with raises_error(FetchError, "encrypted_zip_member", where="a.zip"):
        unpack(archive, folder, EDITION)


def test_own_folder_is_preferred_to_a_shorter_path(tmp_path: Path, folder: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", ("a/ratings.csv", b"x"), ("a/movies.csv", b"y"))
    unpack(archive, folder, replace(EDITION, md5=None))
    assert tree(folder)["ratings.csv"] == RATINGS.encode()
