from __future__ import annotations

import hashlib
import json
import math
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.files import atomic_file, atomic_folder, file_digest, write_json


class _PulledPlugError(BaseException):
    """Stands for what no one catches, as Ctrl-C."""


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones included, with its content."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_file_appears_whole_with_its_folders(tmp_path: Path):
    target = tmp_path / "new" / "deep" / "file.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("all of it")
        assert not target.exists()
    assert tree(tmp_path) == {"new/deep/file.txt": "all of it"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_a_file_is_replaced(tmp_path: Path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with atomic_file(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert tree(tmp_path) == {"file.txt": "new"}


@pytest.mark.parametrize("error", [ValueError, _PulledPlugError])
@pytest.mark.parametrize("before", [{}, {"file.txt": "old"}])
def test_a_file_stays_as_it_was_when_the_block_raises(
    tmp_path: Path, error: type[BaseException], before: dict[str, str]
):
    for name, content in before.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(error), atomic_file(tmp_path / "file.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert tree(tmp_path) == before


def test_a_folder_appears_whole(tmp_path: Path):
    target = tmp_path / "new" / "folder"
    with atomic_folder(target) as temporary:
        assert list(temporary.iterdir()) == []
        (temporary / "a").write_text("1")
        assert not target.exists()
    assert tree(tmp_path) == {"new/folder/a": "1"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["folder"]


def test_a_folder_is_replaced_and_not_mixed(tmp_path: Path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("1")
    with atomic_folder(target) as temporary:
        (temporary / "new").write_text("2")
        assert tree(target) == {"old": "1"}
    assert tree(tmp_path) == {"folder/new": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("error", [ValueError, _PulledPlugError])
@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_stays_as_it_was_when_the_block_raises(
    tmp_path: Path, error: type[BaseException], exists: bool
):
    target = tmp_path / "folder"
    if exists:
        target.mkdir()
        (target / "old").write_text("1")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error), atomic_folder(target) as temporary:
        (temporary / "half").mkdir()
        raise error
    assert sorted(tmp_path.rglob("*")) == before


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False).filter(math.isfinite),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_json_comes_back_as_it_went_in(tmp_path_factory: pytest.TempPathFactory, value: Any):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == value


def test_json_keeps_letters_readable(tmp_path: Path):
    write_json(tmp_path / "a.json", {"title": "Amélie 千"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "title": "Amélie 千"\n}\n'


@pytest.mark.parametrize("value", [math.nan, math.inf, [{"auc": math.nan}]])
def test_json_refuses_what_json_cannot_say(tmp_path: Path, value: Any):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", value)
    assert tree(tmp_path) == {"a.json": "1\n"}


@pytest.mark.parametrize("size", [0, 5, (1 << 20) - 1, (1 << 20) + 1])
@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_digest_is_that_of_all_bytes(tmp_path: Path, size: int, algorithm: str):
    content = bytes(i % 251 for i in range(size))
    (tmp_path / "f").write_bytes(content)
    assert file_digest(tmp_path / "f", algorithm) == hashlib.new(algorithm, content).hexdigest()
