"""Several processes share the shards and write what one process writes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.bulk import score as module
from reeltune.bulk.output import Output
from reeltune.bulk.score import Job, Plan, Processes, score
from reeltune.errors import RunError
from reeltune.progress import no_progress
from tests.bulk.build import Row, output_rows, parts, write_rows
from tests.bulk.command import arguments, call

ROWS = [Row(10 * (n % 8) + 1, 3 * (7 * n % 40) + 1) for n in range(50)]
_DEADLINE_S = 240


class Group:
    """The state of one of several processes, without the others."""

    def __init__(self, number: int, count: int) -> None:
        self.process_index, self.num_processes = number, count
        self.is_main_process = number == 0


@pytest.fixture
def member(monkeypatch):
    """Make one of several processes."""

    def make(number: int, count: int) -> Processes:
        monkeypatch.setattr(module, "process_state", lambda: Group(number, count))
        return Processes()

    return make


@given(missing=st.lists(st.integers(0, 99), unique=True).map(sorted), count=st.integers(1, 5))
def test_every_shard_belongs_to_exactly_one_process(missing, count):
    with pytest.MonkeyPatch.context() as patch:
        shares, of_all = [], []
        for number in range(count):
            patch.setattr(module, "process_state", lambda number=number: Group(number, count))
            shares.append(Processes().share(missing))
            of_all.append(Processes().share(range(100)))
    assert sorted(item for share in shares for item in share) == missing
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    # Where none is there yet, a process has those whose number gives its own as the rest.
    assert of_all == [[k for k in range(100) if k % count == n] for n in range(count)]


def test_on_main_broadcasts_its_result(member, monkeypatch):
    sent: list[list] = []
    monkeypatch.setattr(module, "broadcast_object_list", sent.append)
    assert member(0, 2).on_main(lambda: 7) == 7
    assert sent == [[7, None]]

    monkeypatch.setattr(module, "broadcast_object_list", lambda box: box.__setitem__(0, 7))
    assert member(1, 2).on_main(pytest.fail) == 7


def test_an_error_of_the_main_process_ends_the_others_silently(member, monkeypatch):
    sent: list[list] = []
    monkeypatch.setattr(module, "broadcast_object_list", sent.append)

    def wrong():
        raise RunError("no", code="no")

    for decide in ("on_main", "main_first"):
        with pytest.raises(RunError):
            getattr(member(0, 2), decide)(wrong)
    assert sent == [[None, 8], [None, 8]]

    monkeypatch.setattr(module, "broadcast_object_list", lambda box: box.__setitem__(1, 8))
    for decide in ("on_main", "main_first"):
        with pytest.raises(SystemExit) as left:
            getattr(member(1, 2), decide)(pytest.fail)
        assert left.value.code == 8


class WithAnother(Processes):
    """The main one of two processes; the other does its share while this one waits for it."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job
        self.plan = Plan("", [], None)

    def on_main(self, decide):
        decided = super().on_main(decide)
        if isinstance(decided, Plan):
            self.plan = decided
        return decided

    def share(self, items):
        return list(items[::2])

    def wait(self):
        self.job.score_shards(self.plan, self.plan.missing[1::2], no_progress)


def test_the_main_process_scores_its_share_and_waits(bench, tmp_path, monkeypatch):
    table = write_rows(tmp_path / "in.parquet", ROWS[:10])
    written: list[int] = []
    write = Output.write

    def listening(output, number, *rest):
        written.append(number)
        write(output, number, *rest)

    monkeypatch.setattr(Output, "write", listening)
    job = bench.job(table, tmp_path / "out", rows_per_shard=2)
    record = score(lambda: job, WithAnother(job), no_progress).record
    assert written == [0, 2, 4, 1, 3]
    assert (record["rows"], len(output_rows(tmp_path / "out"))) == (10, 10)


def launched(args: list[str]) -> subprocess.CompletedProcess[str]:
    """Launch the command in two processes."""
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--main_process_port", "0", "-m", "reeltune"]
    return subprocess.run(
        [sys.executable, *launch, *args],
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_write_the_shards_of_one(tiny_qwen3, prepared, tmp_path):
    table = write_rows(tmp_path / "in.parquet", ROWS)
    folders = {name: tmp_path / name for name in ("one", "two")}
    args = {
        name: arguments(tiny_qwen3, prepared.path, table, out, "--rows-per-shard", "7")
        for name, out in folders.items()
    }
    assert call(args["one"]) == 0
    process = launched(args["two"])
    assert process.returncode == 0, process.stderr
    # One of them speaks.
    assert process.stdout.count(str(folders["two"])) == 1
    assert "process 1 of 2" in process.stderr
    assert "process 2 of 2" not in process.stderr
    one, two = ({path.name: path.read_bytes() for path in parts(out)} for out in folders.values())
    assert two == one
    assert len(output_rows(folders["two"])) == 50
    records = [json.loads((out / "done.json").read_text()) for out in folders.values()]
    assert records[0].keys() == records[1].keys()
    assert records[1]["rows"] == 50
