"""Locks on files and folders: one writer or many readers, until they end or are killed."""

from __future__ import annotations

import errno
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from reeltune import locks
from reeltune.errors import RunError
from reeltune.files import atomic_file, atomic_folder, remove_leftovers
from reeltune.locks import LOCK_FILE, exclusive, shared
from tests.errors import raises_error
from tests.locked import elsewhere
from tests.test_files import Writer, names


def keep_out(folder: Path, ready, go) -> None:
    with exclusive(folder):
        ready.set()
        go.wait()


def look_on(folder: Path, ready, go) -> None:
    with shared(folder):
        ready.set()
        go.wait()


@pytest.mark.slow
@pytest.mark.parametrize("hold", [keep_out, look_on])
def test_a_lock_names_its_process_and_ends_with_it(tmp_path, hold):
    folder = tmp_path / "new" / "run"
    folder.parent.mkdir()
    other = Writer(hold, folder)
    holder = f"{other.process.pid} on {platform.node()}"
    try:
        refused = raises_error(RunError, "folder_in_use", where=str(folder), figures=[holder])
        with refused, exclusive(folder):
            pass
        refused = raises_error(RunError, "folder_in_use")
        with refused if hold is keep_out else nullcontext(), shared(folder):
            pass
    finally:
        other.kill()
    assert len(names(tmp_path / "new")) == 1
    with exclusive(folder), shared(folder), exclusive(folder), atomic_folder(folder):
        pass
    assert names(tmp_path / "new") == ["run"]


def test_a_folder_that_is_locked_is_not_replaced(tmp_path):
    refused = raises_error(RunError, "folder_in_use")
    with elsewhere(exclusive, tmp_path / "a"), refused, atomic_folder(tmp_path / "a"):
        pytest.fail("no work may be done")


def test_readers_do_not_exclude_each_other_nor_other_folders(tmp_path):
    with elsewhere(shared, tmp_path / "a"), shared(tmp_path / "a"):
        with exclusive(tmp_path / "b"), exclusive(tmp_path / "a.b"), exclusive(tmp_path / "[a]"):
            assert len(names(tmp_path)) == 5
        with raises_error(RunError, "folder_in_use"), exclusive(tmp_path / "a"):
            pass
    with elsewhere(shared, tmp_path / "a.b"), exclusive(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


def test_a_waiting_process_enters_once_the_lock_is_released(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="reeltune")
    naps: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        other = exclusive(tmp_path / "run")
        pool.submit(other.__enter__).result()

        def nap(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 9:
                pool.submit(other.__exit__, None, None, None).result()

        monkeypatch.setattr("time.sleep", nap)
        with exclusive(tmp_path / "run", wait=True):
            assert len(naps) == 9
    assert len(caplog.records) == 1
    assert str(os.getpid()) in caplog.text


def test_one_folder_has_one_lock_whatever_it_is_called(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    monkeypatch.chdir(tmp_path / "run")
    with exclusive(tmp_path / "link"):
        assert names(tmp_path) == [".run.lock", "link", "run"]
        held = set(locks._held)
        with exclusive(Path()):
            assert locks._held == held


def test_the_longest_names_can_be_locked(tmp_path):
    with exclusive(tmp_path / ("g" * 255)):
        assert len(names(tmp_path)) == 1


def test_a_folder_that_cannot_be_renamed_holds_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path) == tmp_path)
    with exclusive(tmp_path):
        assert names(tmp_path) == [LOCK_FILE]
    refused = raises_error(RunError, "folder_in_use")
    with elsewhere(shared, tmp_path), refused, exclusive(tmp_path):
        pass
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_forked_process_does_not_hold_the_lock(tmp_path):
    with exclusive(tmp_path / "run"):
        pid = os.fork()
        if not pid:
            signal.pause()
    try:
        with exclusive(tmp_path / "run"):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_is_only_read_needs_no_lock(tmp_path, monkeypatch, caplog, code):
    def refuse(path, *_):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with shared(tmp_path / "run"), exclusive(tmp_path / "run"):
        pass
    assert not caplog.records


@pytest.fixture
def no_locks(monkeypatch) -> Iterator[Callable[..., None]]:
    def refuse(handle, **_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    for module in ("reeltune.locks", "reeltune.files"):
        monkeypatch.setattr(f"{module}.lock_descriptor", refuse)
    yield refuse
    locks._warn_without_locks.cache_clear()


def test_a_file_system_without_locks_is_a_warning_once(tmp_path, no_locks, caplog):
    (tmp_path / ".b.0123abcd.part.lock").write_bytes(b"reeltune temporary\0.b.0123abcd.part\0b")
    before = [".b.0123abcd.part.lock"]
    for _ in range(2):
        with exclusive(tmp_path / "run"), shared(tmp_path / "c"), atomic_file(tmp_path / "a"):
            pass
        assert remove_leftovers(tmp_path) == []  # another process may be writing it
    assert names(tmp_path) == [*before, "a"]
    assert len(caplog.records) == 1
    assert str(tmp_path) in caplog.text


@pytest.mark.parametrize("kind", ["symlink", "folder", "file"])
def test_what_is_planted_as_a_lock_stays_as_it_is(tmp_path, kind, caplog):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock = tmp_path / ".run.lock"
    if kind == "symlink":
        lock.symlink_to(victim)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.write_text("precious")
    with exclusive(tmp_path / "run"):
        pass
    assert victim.read_text() == "precious"
    assert names(tmp_path) == [".run.lock", "victim"]
    assert (str(lock) in caplog.text) == (kind != "file")
    locks._warn_without_locks.cache_clear()
