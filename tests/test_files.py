from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune import files, locks
from reeltune.errors import RunError
from reeltune.files import (
    atomic_file,
    atomic_folder,
    check_writable,
    file_digest,
    is_temporary,
    read_object,
    remove_leftovers,
    write_json,
)
from reeltune.locks import LOCK_FILE, exclusive
from tests.errors import raises_error

SPAWN = multiprocessing.get_context("spawn")


class _PulledPlugError(BaseException):
    """An exception that nobody catches, like KeyboardInterrupt."""


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones included, with its content."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_with_its_folders(tmp_path: Path):
    target = tmp_path / "new" / "deep" / "file.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("all of it")
        assert not target.exists()
    assert tree(tmp_path) == {"new/deep/file.txt": "all of it"}
    if sys.platform != "win32":
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


def test_whether_a_file_can_be_written_is_checked_without_changing_it(tmp_path: Path):
    (tmp_path / "old").write_text("old")
    for path in (tmp_path / "old", tmp_path / "new" / "file"):
        check_writable(path)
    assert tree(tmp_path) == {"old": "old"}
    assert names(tmp_path / "new") == []
    with pytest.raises(OSError):
        check_writable(tmp_path / "old" / "file")


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


def write_and_wait(path: Path, ready, go) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text("all of it")
        ready.set()
        go.wait()


def fill_and_wait(path: Path, ready, go) -> None:
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("all of it")
        ready.set()
        go.wait()


class Writer:
    """A process that is writing."""

    def __init__(self, target, path: Path) -> None:
        ready, self.go = SPAWN.Event(), SPAWN.Event()
        self.process = SPAWN.Process(target=target, args=(path, ready, self.go))
        self.process.start()
        ready.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def end(self) -> None:
        self.go.set()
        self.process.join()
        assert self.process.exitcode == 0


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_and_wait, fill_and_wait])
def test_only_leftovers_of_killed_processes_are_removed(tmp_path: Path, write):
    alive, dead = Writer(write, tmp_path / "a"), Writer(write, tmp_path / "b")
    try:
        dead.kill()
        suffixes = ["part", "lock", *(["lock"] if write is fill_and_wait else [])]
        assert [name.rpartition(".")[2] for name in names(tmp_path)] == suffixes * 2
        (removed,) = remove_leftovers(tmp_path)
        assert removed.startswith(".b.")
        with exclusive(tmp_path / "b"):  # takes over the lock of the killed process
            pass
        assert {name[:3] for name in names(tmp_path)} == {".a."}
    finally:
        alive.end()
    assert names(tmp_path) == ["a"]
    assert set(tree(tmp_path).values()) == {"all of it"}
    assert remove_leftovers(tmp_path) == []


@pytest.mark.slow
def test_the_next_writer_removes_leftovers_of_its_folder_only(tmp_path: Path):
    for path in ("folder", "other"):
        Writer(fill_and_wait, tmp_path / path).kill()
    with atomic_folder(tmp_path / "folder"):
        pass
    assert {name.split(".")[1] for name in names(tmp_path)[:2]} == {"other"}
    assert names(tmp_path)[2:] == [".other.lock", "folder"]
    assert all(is_temporary(name) for name in names(tmp_path)[:2])


def plant(temporary: Path, target: str) -> Path:
    """Leave a temporary folder and its lock as a killed process does."""
    temporary.mkdir()
    mark = (files._MARK, temporary.name.encode(), target.encode())
    temporary.with_name(f"{temporary.name}.lock").write_bytes(b"\0".join(mark))
    return temporary


@pytest.mark.parametrize("exists", [False, True])
def test_an_old_version_is_removed_only_if_there_is_a_new_one(tmp_path: Path, exists: bool):
    old = plant(tmp_path / ".folder.abc.old", "folder") / "folder"
    old.mkdir()
    (old / "a").write_text("old")
    if exists:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "a").write_text("new")
    assert remove_leftovers(tmp_path, "other") == []
    assert remove_leftovers(tmp_path, "folder") == [old.parent.name]
    assert names(tmp_path) == ["folder"]
    assert tree(tmp_path) == {"folder/a": "new" if exists else "old"}


def test_what_only_has_the_name_of_a_temporary_is_kept(tmp_path: Path):
    for name in (".a.mine.old", ".a.x.part", ".a.0123abcd.part", ".a.y.part", ".a.z.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("years of work")
    (tmp_path / ".a.file.part").write_text("mine")
    (tmp_path / ".a.link.part").symlink_to(tmp_path / ".a.mine.old")
    (tmp_path / ".a.dangling.part").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".a.x.part.lock").mkdir()
    (tmp_path / ".a.0123abcd.part.lock").touch()
    (tmp_path / ".a.y.part.lock").write_bytes(files._MARK + b"\0.a.x.part\0a")
    (tmp_path / ".a.z.part.lock").symlink_to(tmp_path / ".a.y.part.lock")
    (tmp_path / ".git.lock").write_bytes(files._MARK + b"\0.git\0a")
    if sys.platform != "win32":
        os.mkfifo(tmp_path / ".a.mine.old.lock")
    before, contents = names(tmp_path), tree(tmp_path)
    assert remove_leftovers(tmp_path) == []
    with atomic_folder(tmp_path / "a") as temporary:
        (temporary / "b").write_text("new")
    with atomic_file(tmp_path / "c") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == [*before, "a", "c"]
    assert tree(tmp_path) == {**contents, "a/b": "new", "c": "new"}


def test_the_lock_of_a_writer_killed_before_it_named_its_temporary_is_removed(tmp_path: Path):
    (tmp_path / ".a.0123abcd.part.lock").touch()
    (tmp_path / ".b.0123abcd.part.lock").touch()
    with atomic_file(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == [".b.0123abcd.part.lock", "a"]
    assert remove_leftovers(tmp_path) == []
    assert names(tmp_path) == ["a"]


def test_a_leftover_that_cannot_be_removed_blocks_nothing(tmp_path: Path, monkeypatch):
    left = plant(tmp_path / ".a.0123abcd.part", "a")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(files.shutil, "rmtree", refuse)
        assert remove_leftovers(tmp_path) == []
        with atomic_file(tmp_path / "a") as temporary:
            temporary.write_text("new")
    assert remove_leftovers(tmp_path) == [left.name]
    assert names(tmp_path) == ["a"]


def test_the_longest_names_can_be_written(tmp_path: Path):
    file, folder = tmp_path / ("f" * 255), tmp_path / ("g" * 255)
    Writer(fill_and_wait, folder).kill()
    for write, path in ((atomic_file, file), (atomic_folder, folder)):
        with write(path):
            pass
    assert names(tmp_path) == [file.name, folder.name]


@pytest.mark.parametrize("dangling", [False, True])
def test_symbolic_links_are_followed(tmp_path: Path, dangling: bool):
    real = tmp_path / "real"
    if not dangling:
        (real / "folder").mkdir(parents=True)
        (real / "folder" / "old").write_text("1")
        (real / "file").write_text("1")
    for name in ("folder", "file"):
        (tmp_path / name).symlink_to(real / name)
    with atomic_folder(tmp_path / "folder") as temporary:
        assert temporary.parent == real
        (temporary / "new").write_text("2")
    with atomic_file(tmp_path / "file") as temporary:
        temporary.write_text("2")
    assert (tmp_path / "folder").is_symlink()
    assert (tmp_path / "file").is_symlink()
    assert tree(real) == {"folder/new": "2", "file": "2"}
    assert names(real) == ["file", "folder"]


def test_a_folder_that_cannot_be_replaced_is_refused_at_once(tmp_path: Path, monkeypatch):
    home, here, mount = tmp_path / "home", tmp_path / "a" / "here", tmp_path / "mount"
    access, foreign = os.access, tmp_path / "foreign"
    monkeypatch.setattr(os, "access", lambda path, mode: path != foreign and access(path, mode))
    for folder in (home, here, mount, foreign):
        folder.mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    monkeypatch.setattr(Path, "is_mount", lambda path: path in (Path("/"), mount))
    before = sorted(tmp_path.rglob("*"))
    for text in (
        "",
        ".",
        "..",
        "/",
        "~",
        str(mount),
        str(foreign),
        str(tmp_path / "file"),
        str(tmp_path / "loop"),
    ):
        path = Path(text).expanduser()
        with raises_error(RunError, "folder_not_replaceable", where=str(path)), atomic_folder(path):
            pytest.fail("no work may be done")
    for path in (here, Path("/"), Path("/dev/null")):
        with raises_error(RunError, "output_not_a_file", where=str(path)), atomic_file(path):
            pytest.fail("no work may be done")
    for write in (atomic_file, atomic_folder):
        with pytest.raises(OSError, match="too long"), write(tmp_path.joinpath(*["a"] * 1500)):
            pytest.fail("no work may be done")
    assert sorted(tmp_path.rglob("*")) == before


def replace_and_die(path: Path, exchange: bool, renames: int) -> None:
    """Replace a folder; die in place of the rename after ``renames`` ones."""
    replace, calls = Path.replace, []

    def dying(source, target):
        calls.append(source)
        return os._exit(9) if len(calls) > renames else replace(source, target)

    Path.replace = dying  # pyright: ignore[reportAttributeAccessIssue]
    if not exchange:
        files._exchange = lambda first, second: False
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("new")
    os._exit(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exchange", "renames"),
    [
        pytest.param(True, 0, marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux's")),
        (False, 0),
        (False, 1),
    ],
)
def test_a_process_killed_between_renames_leaves_the_old_or_the_new_folder(
    tmp_path: Path, exchange: bool, renames: int
):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "a").write_text("old")
    process = SPAWN.Process(target=replace_and_die, args=(path, exchange, renames))
    process.start()
    process.join()
    assert process.exitcode == (0 if exchange else 9)
    if renames == 0:  # between two renames, the next writer puts the old one back
        assert tree(path) == {"a": "new" if exchange else "old"}
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [*([] if exchange else [".folder.lock"]), "folder"]
    assert tree(path) == {"a": "new" if exchange else "old"}
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("newer")
    assert tree(tmp_path) == {"folder/a": "newer"}


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_a_lock_removed_before_it_was_locked_is_made_again(tmp_path, monkeypatch, write):
    """Another process may remove leftovers between the two steps."""
    lock = locks.lock_descriptor
    removed: list[str] = []

    def late(handle, **options):
        if len(removed) < 2:
            opened = os.fstat(handle)
            (path,) = (p for p in tmp_path.iterdir() if os.path.samestat(p.stat(), opened))
            path.unlink()
            removed.append(path.name)
        return lock(handle, **options)

    monkeypatch.setattr(locks, "lock_descriptor", late)
    with write(tmp_path / "a") as temporary:
        of_folder = [".a.lock"] if write is atomic_folder else []
        assert names(tmp_path) == [temporary.name, f"{temporary.name}.lock", *of_folder]
        assert not any(name.startswith(temporary.name) for name in removed)
    assert names(tmp_path) == ["a"]


def test_the_lock_of_a_killed_writer_is_removed_with_or_without_its_temporary(tmp_path):
    plant(tmp_path / ".a.0123abcd.part", "a").rmdir()
    plant(tmp_path / ".b.0123abcd.part", "b")
    (tmp_path / LOCK_FILE).touch()
    assert remove_leftovers(tmp_path) == [".b.0123abcd.part"]
    assert names(tmp_path) == [LOCK_FILE]


def test_an_old_version_gets_its_name_back_if_the_new_one_cannot_be_renamed(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("old")
    replace = Path.replace

    def failing(path, target):
        if path.name.endswith(".part"):
            raise PermissionError
        return replace(path, target)

    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(PermissionError), atomic_folder(tmp_path / "folder"):
        pass
    assert tree(tmp_path) == {"folder/a": "old"}
    assert names(tmp_path) == ["folder"]


@pytest.fixture
def like_windows(monkeypatch):
    """Open files cannot be renamed or removed, folders not opened, read-only files not synced."""
    opened: dict[int, str] = {}
    system = {name: getattr(os, name) for name in ("open", "close", "fsync")}
    replace, unlink = Path.replace, Path.unlink

    def check_closed(path: Path) -> None:
        if any(Path(name).is_relative_to(path) for name in opened.values()):
            raise PermissionError(f"{path} is open")

    def open_file(path, flags, *rest, **options):
        if Path(path).is_dir():
            raise PermissionError(f"{path} is a folder")
        handle = system["open"](path, flags, *rest, **options)
        if flags & (os.O_RDWR | os.O_WRONLY):
            opened[handle] = str(path)
        return handle

    def close(handle):
        system["close"](handle)
        opened.pop(handle, None)

    def sync(handle):
        if handle not in opened:
            raise OSError("not writable")
        system["fsync"](handle)

    monkeypatch.setattr(files, "_WINDOWS", True)
    monkeypatch.setattr(locks, "_WINDOWS", True)
    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    monkeypatch.setattr("shutil._use_fd_functions", False)
    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "close", close)
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(
        Path, "replace", lambda path, target: (check_closed(path), replace(path, target))[1]
    )
    monkeypatch.setattr(
        Path, "unlink", lambda path, **options: (check_closed(path), unlink(path, **options))[1]
    )


@pytest.mark.skipif(sys.platform == "win32", reason="simulates Windows")
def test_writing_opens_renames_and_removes_as_windows_allows(tmp_path, like_windows):
    for content in ("old", "new"):
        with atomic_file(tmp_path / "file") as temporary:
            temporary.write_text(content)
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "in").mkdir()
            (temporary / "in" / "a").write_text(content)
        assert set(tree(tmp_path).values()) == {content}
        assert names(tmp_path) == ["file", "folder"]
    plant(tmp_path / ".file.0123abcd.part", "file")
    assert remove_leftovers(tmp_path) == [".file.0123abcd.part"]
    assert names(tmp_path) == ["file", "folder"]


def test_content_is_synced_before_the_rename(tmp_path, monkeypatch):
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("sync"), sync(handle)))

    def renaming(path, target):
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", renaming)
    with atomic_file(tmp_path / "a") as temporary:
        temporary.write_bytes(b"x")
    assert steps == ["sync", "rename", "sync"]
    steps.clear()
    with atomic_folder(tmp_path / "f") as temporary:
        (temporary / "b").write_bytes(b"x")
        (temporary / "c").write_bytes(b"x")
    assert steps == ["sync", "sync", "sync", "rename", "sync"]


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
def test_json_round_trip(tmp_path_factory: pytest.TempPathFactory, value: Any):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == value


def test_json_keeps_letters_readable(tmp_path: Path):
    write_json(tmp_path / "a.json", {"title": "Amélie 千"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "title": "Amélie 千"\n}\n'


@pytest.mark.parametrize("value", [math.nan, math.inf, [{"auc": math.nan}]])
def test_json_refuses_nan_and_infinity(tmp_path: Path, value: Any):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match=r"nan|inf"):
        write_json(tmp_path / "a.json", value)
    assert tree(tmp_path) == {"a.json": "1\n"}


@pytest.mark.parametrize("size", [0, 5, (1 << 20) - 1, (1 << 20) + 1])
@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_digest_is_that_of_all_bytes(tmp_path: Path, size: int, algorithm: str):
    content = bytes(i % 251 for i in range(size))
    (tmp_path / "f").write_bytes(content)
    assert file_digest(tmp_path / "f", algorithm) == hashlib.new(algorithm, content).hexdigest()


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"{", b"\xff{}", b'{"a": ' * 100_000])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "file.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"\w"):
        read_object(file)
    file.write_text('{"a": {"b": "é"}}', encoding="utf-8")
    assert read_object(file) == {"a": {"b": "é"}}
    assert read_object(file, lambda values: {**values, "c": 1})["a"] == {"b": "é", "c": 1}
