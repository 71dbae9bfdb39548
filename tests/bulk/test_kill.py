"""A run that is killed and resumed many times writes every row exactly once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reeltune.errors import RunError
from reeltune.files import is_temporary
from tests import forked
from tests.bulk.build import Row, output_rows, parts, write_rows
from tests.bulk.command import arguments, call
from tests.errors import error_code
from tests.locked import is_locked_by

KILLS = 20
SHARDS = 80
ROWS = [Row(10 * (n % 8) + 1, 3 * (7 * n % 40) + 1) for n in range(2 * SHARDS)]
_DEADLINE_S = 600


class Runs:
    """Processes that score one table into one folder, one after another."""

    def __init__(self, args: list[str], out: Path) -> None:
        self.out = out
        self.log = out.with_suffix(".log")
        self.args = args

    def start(self) -> Any:
        with self.log.open("a") as log:
            command = [sys.executable, "-m", "reeltune", *self.args]
            return forked.Popen(command, stdout=log.fileno(), stderr=forked.STDOUT)

    def shards(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in parts(self.out)}

    def wait_for_more(self, process: Any) -> None:
        """Wait until there is another shard, or the process has ended."""
        deadline = time.monotonic() + _DEADLINE_S
        before = len(parts(self.out))
        while len(parts(self.out)) == before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def wait_for_lock(self, process: Any) -> None:
        """Wait until the output is locked, before the model is loaded."""
        lock = self.out.with_name(f".{self.out.name}.lock")
        while not is_locked_by(lock, process.pid):
            assert process.poll() is None, self.log.read_text()
            time.sleep(0.002)

    def finish(self, process: Any) -> None:
        assert process.wait(_DEADLINE_S) == 0, self.log.read_text()


def runs(model: Path, prepared: Path, table: Path, out: Path) -> Runs:
    return Runs(arguments(model, prepared, table, out, "--rows-per-shard", "2"), out)


def assert_all_there(killed: Runs, shards: dict[str, bytes]) -> None:
    """Every row once, in order; nothing beside what an unkilled run leaves."""
    assert killed.shards() == shards
    rows = [Row(row["user_id"], row["item_id"]) for row in output_rows(killed.out)]
    assert rows == ROWS
    assert not [path for path in killed.out.iterdir() if is_temporary(path.name)]
    assert json.loads((killed.out / "done.json").read_text())["rows"] == len(ROWS)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_second_run_is_refused_while_the_first_scores(tiny_qwen3, prepared, tmp_path, capsys):
    table = write_rows(tmp_path / "in.parquet", ROWS[:20])
    first = runs(tiny_qwen3, prepared.path, table, tmp_path / "out")
    process = first.start()
    first.wait_for_lock(process)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        before = first.shards()
        for flags in ([], ["--overwrite"]):
            assert call([*first.args, *flags]) == RunError.exit_code
            stderr = capsys.readouterr().err
            assert error_code(stderr) == "folder_in_use"
            assert f"process {process.pid} " in stderr
        assert first.shards() == before
    finally:
        os.kill(process.pid, signal.SIGCONT)
    first.finish(process)
    assert len(first.shards()) == 10


@pytest.mark.slow
def test_a_shard_does_not_depend_on_those_scored_before_it(tiny_qwen3, prepared, tmp_path):
    """The histories of earlier shards are in no cache: keys from one may be rounded otherwise."""
    table, out = write_rows(tmp_path / "in.parquet", ROWS[:30]), tmp_path / "out"
    args = arguments(tiny_qwen3, prepared.path, table, out, "--rows-per-shard", "2")
    assert call(args) == 0
    whole = {path.name: path.read_bytes() for path in parts(out)}
    for first in (3, 13):
        for path in parts(out)[first:]:
            path.unlink()
        assert call(args) == 0
        assert {path.name: path.read_bytes() for path in parts(out)} == whole


@pytest.mark.slow
def test_twenty_kills_lose_and_repeat_no_row(tiny_qwen3, prepared, tmp_path):
    """Kills alternate between loading and scoring."""
    table = write_rows(tmp_path / "in.parquet", ROWS)
    whole = runs(tiny_qwen3, prepared.path, table, tmp_path / "whole")
    whole.finish(whole.start())  # the fork server has to start once
    shutil.rmtree(whole.out)
    began = time.monotonic()
    process = whole.start()
    whole.wait_for_more(process)
    loading = time.monotonic() - began
    whole.finish(process)
    scoring = time.monotonic() - began - loading
    expected = whole.shards()
    assert len(expected) == SHARDS

    killed = runs(tiny_qwen3, prepared.path, table, tmp_path / "killed")
    draw = random.Random(0)
    kills = halfway = 0
    before: dict[str, bytes] = {}
    while kills < KILLS:
        process = killed.start()
        if kills % 2:
            killed.wait_for_more(process)
            time.sleep(draw.uniform(0, 2 * scoring / KILLS))
        else:
            time.sleep(draw.uniform(0, loading))
        process.kill()
        if process.wait() == 0:  # it came too late: begin again
            assert_all_there(killed, expected)
            shutil.rmtree(killed.out)
            before = {}
            continue
        assert process.returncode < 0
        kills += 1
        # Whatever has its name is whole, and stays.
        seen = killed.shards()
        assert before.items() <= seen.items() <= expected.items()
        before = seen
        halfway += 0 < len(seen) < SHARDS
    assert halfway >= KILLS // 4
    killed.finish(killed.start())
    assert_all_there(killed, expected)
