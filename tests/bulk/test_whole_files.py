"""Files that are whole or missing, whoever is killed and whoever is still writing."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from reeltune.bulk.whole_files import LOCK_FILE, only_run, remove_leftovers, whole_file
from reeltune.errors import RunError
from tests.errors import raises_error

FORK = multiprocessing.get_context("fork")


def write_and_wait(path: Path, ready, go) -> None:
    with whole_file(path) as stream:
        stream.write(b"all of it")
        ready.set()
        go.wait()


def keep_out(folder: Path, ready, go) -> None:
    with only_run(folder):
        ready.set()
        go.wait()


class Writer:
    """A process that is in the middle of something."""

    def __init__(self, target, path: Path) -> None:
        ready, self.go = FORK.Event(), FORK.Event()
        self.process = FORK.Process(target=target, args=(path, ready, self.go))
        self.process.start()
        ready.wait()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()

    def end(self) -> None:
        self.go.set()
        self.process.join()
        assert self.process.exitcode == 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_only_what_the_dead_left_is_removed(tmp_path):
    alive, dead = Writer(write_and_wait, tmp_path / "a"), Writer(write_and_wait, tmp_path / "b")
    try:
        dead.kill()
        assert len(names(tmp_path)) == 2
        (removed,) = remove_leftovers(tmp_path)
        assert removed.startswith(".b.")
        assert [name[:3] for name in names(tmp_path)] == [".a."]
    finally:
        alive.end()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"all of it"
    assert remove_leftovers(tmp_path) == []


def test_a_temporary_file_taken_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    """Another process may clear up in the moment between making and locking."""
    import fcntl

    lock = fcntl.flock
    taken: list[str] = []

    def late(handle, how):
        if not taken and how == fcntl.LOCK_EX:
            (path,) = tmp_path.iterdir()
            path.unlink()
            taken.append(path.name)
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with whole_file(tmp_path / "a") as stream:
        stream.write(b"kept")
    assert len(taken) == 1
    assert (tmp_path / "a").read_bytes() == b"kept"


def test_a_block_that_raises_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a") as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"


def test_content_is_on_disk_before_the_name_is(tmp_path, monkeypatch):
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("sync"), sync(handle)))

    def renaming(path, target):
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", renaming)
    with whole_file(tmp_path / "a") as stream:
        stream.write(b"x")
    assert steps == ["sync", "rename", "sync"]


def test_one_run_at_a_time_until_it_ends_or_is_killed(tmp_path):
    other = Writer(keep_out, tmp_path)
    try:
        with raises_error(RunError, "folder_in_use"), only_run(tmp_path):
            pass
    finally:
        other.kill()
    with only_run(tmp_path):
        pass
    assert names(tmp_path) == [LOCK_FILE]
