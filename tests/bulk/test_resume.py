"""What is there is kept, what is missing is made, and what is different is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reeltune.bulk.tasks import Pairs
from reeltune.errors import RequestError, RunError
from tests.bulk.build import Row, answers, parts, write_rows
from tests.errors import raises_error

ROWS = [Row(user, item) for user in (1, 11, 21) for item in (1, 4, 7, 10, 13)]


@pytest.fixture
def table(tmp_path) -> Path:
    return write_rows(tmp_path / "in.parquet", ROWS)


@pytest.fixture
def out(bench, table, tmp_path) -> Path:
    """Answers that are all there: four shards of 4, 4, 4 and 3 rows."""
    bench.score(table, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def judged(monkeypatch) -> list[int]:
    """How many rows each shard had that was judged since."""
    found: list[int] = []
    scored = Pairs.score

    def listening(task, table, *rest):
        found.append(table.num_rows)
        return scored(task, table, *rest)

    monkeypatch.setattr(Pairs, "score", listening)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in parts(folder)}


def test_a_finished_run_does_nothing(bench, table, out, judged, monkeypatch):
    monkeypatch.setattr("reeltune.bulk.score.load_model", None)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    outcome = bench.score(table, out)
    assert outcome.already_done
    assert outcome.record == json.loads((out / "done.json").read_text())
    assert judged == []
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_missing_and_broken_shards_are_made_again(bench, table, out, judged):
    before = contents(out)
    (out / "part-00001.parquet").unlink()
    (out / "part-00003.parquet").write_bytes(before["part-00003.parquet"][:-9])
    assert bench.plan(table, out).missing == [1, 3]
    outcome = bench.score(table, out)
    assert not outcome.already_done
    assert judged == [4, 3]
    assert contents(out) == before


@pytest.mark.parametrize("taken", ["part-00000.parquet", "part-00003.parquet"])
def test_a_shard_under_another_name_is_no_shard(bench, table, out, taken):
    """Not even where the number of rows is right."""
    before = contents(out)
    (out / taken).replace(out / "part-00002.parquet")
    bench.score(table, out)
    assert contents(out) == before


def test_a_shard_of_other_answers_is_made_again(bench, table, out, tmp_path):
    """One that a run which was thought dead has written late."""
    other = tmp_path / "other"
    bench.score(write_rows(tmp_path / "other.parquet", ROWS[::-1]), other)
    before = contents(out)
    shutil.copy(other / "part-00001.parquet", out / "part-00001.parquet")
    bench.score(table, out)
    assert contents(out) == before


def test_a_shard_too_many_is_refused(bench, table, out):
    shutil.copy(out / "part-00001.parquet", out / "part-00004.parquet")
    with raises_error(RunError, "unexpected_shard", figures=["part-00004.parquet"]):
        bench.score(table, out)


def test_killed_before_the_record_only_the_record_is_made(bench, table, out, judged):
    record = json.loads((out / "done.json").read_text())
    (out / "done.json").unlink()
    found = bench.score(table, out)
    assert judged == []
    assert not found.already_done
    assert json.loads((out / "done.json").read_text()).keys() == record.keys()


def test_a_record_of_other_numbers_is_not_believed(bench, table, out):
    record = json.loads((out / "done.json").read_text())
    (out / "done.json").write_text(json.dumps(record | {"rows": 14}))
    assert not bench.score(table, out).already_done
    assert json.loads((out / "done.json").read_text())["rows"] == 15


def test_there_is_no_record_while_there_is_work(bench, table, out, monkeypatch):
    (out / "part-00002.parquet").unlink()
    bench.plan(table, out)
    assert not (out / "done.json").exists()

    bench.score(table, out)
    assert (out / "done.json").exists()
    # Killed at the first shard that is removed.
    monkeypatch.setattr(Path, "unlink", killed_at("part-00000.parquet", Path.unlink))
    with pytest.raises(KeyboardInterrupt):
        bench.plan(table, out, overwrite=True)
    assert not (out / "done.json").exists()
    assert len(parts(out)) == 4


def killed_at(name: str, call):
    """The call, until it is made for a file of this name."""

    def instead(path, *args, **options):
        if path.name == name:
            raise KeyboardInterrupt
        return call(path, *args, **options)

    return instead


def test_a_shard_that_is_being_written_has_no_name_yet(bench, table, tmp_path, monkeypatch):
    new = tmp_path / "new"
    seen: list[list[Path]] = []
    write = pq.write_table

    def looking(*args, **options):
        write(*args, **options)
        seen.append(parts(new))

    monkeypatch.setattr(pq, "write_table", looking)
    bench.score(table, new)
    assert [len(names) for names in seen] == [0, 1, 2, 3]


def test_what_a_killed_run_left_is_cleared_up(bench, table, out):
    (out / ".part-00002.parquet.abc.part").write_bytes(b"half")
    (out / ".manifest.json.abc.part").write_bytes(b"{")
    assert bench.score(table, out).already_done
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [".lock", "done.json", "manifest.json", *contents(out)]
    )


def test_an_end_with_a_shard_missing_is_no_end(bench, table, out):
    plan = bench.plan(table, out)
    (out / "part-00002.parquet").unlink()
    with raises_error(RunError, "missing_shard", figures=["shard 2 "]):
        bench.job(table, out).finish(plan)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rows_per_shard": 5}, "rows_per_shard: 4 -> 5"),
        ({"history": 4}, "history: 5 -> 4"),
        ({"skip_unknown": True}, "skip_unknown: False -> True"),
    ],
)
def test_other_settings_are_refused_and_named(bench, table, out, change, named):
    before = contents(out)
    figures = [f"({named})", "--overwrite"]
    with raises_error(RunError, "output_of_other_inputs", figures=figures):
        bench.score(table, out, **change)
    assert contents(out) == before
    bench.score(table, out, **change, overwrite=True)
    assert len(answers(out)) == 15
    assert not (set(contents(out)) - {f"part-{n:05}.parquet" for n in range(4)})


def test_a_call_that_failed_before_its_first_answer_claims_nothing(bench, table, out):
    (want,) = {path.name: path.read_bytes() for path in parts(out)[:1]}.values()
    for path in parts(out):
        path.unlink()
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["identity"]["history"] = 2000
    (out / "manifest.json").write_text(json.dumps(manifest))
    bench.score(table, out)
    assert parts(out)[0].read_bytes() == want
    assert json.loads((out / "manifest.json").read_text())["identity"]["history"] != 2000


def test_other_rows_are_refused(bench, out, tmp_path):
    other = write_rows(tmp_path / "in2.parquet", ROWS[1:])
    with raises_error(RunError, "output_of_other_inputs", figures=["rows: 15 -> 14"]) as error:
        bench.score(other, out)
    before, after = re.findall(r"\(input: (\w+)\.\.\. -> (\w+)\.\.\.;", str(error.value))[0]
    assert before != after


def test_a_table_that_was_moved_is_the_same(bench, table, out, tmp_path):
    assert bench.score(table.rename(tmp_path / "elsewhere.parquet"), out).already_done


def test_starting_anew_keeps_what_was_there_until_the_rows_are_looked_at(bench, out, tmp_path):
    before = contents(out)
    faulty = write_rows(tmp_path / "faulty.parquet", [Row(1, 2)])
    with raises_error(RequestError, "invalid_input_rows"):
        bench.score(faulty, out, overwrite=True)
    assert contents(out) == before
    assert (out / "done.json").exists()


def test_fewer_shards_than_before_leave_none_behind(bench, out, tmp_path):
    short = write_rows(tmp_path / "short.parquet", ROWS[:2])
    bench.score(short, out, overwrite=True)
    assert len(parts(out)) == 1
    assert len(answers(out)) == 2


@pytest.mark.parametrize("name", ["notes.txt", "part-00000.parquet"])
def test_a_folder_of_something_else_is_left_alone(bench, table, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("mine")
    for overwrite in (False, True):
        with raises_error(RunError, "output_not_empty", figures=[name]):
            bench.score(table, tmp_path / "mine", overwrite=overwrite)
    with raises_error(RunError, "output_not_a_folder"):
        bench.score(table, table)
    (tmp_path / "mine" / "manifest.json").write_text("[]")
    with raises_error(RunError, "invalid_manifest", where="manifest.json"):
        bench.score(table, tmp_path / "mine")


def test_the_manifest_is_there_before_the_first_shard(bench, table, tmp_path, monkeypatch):
    seen: list[bool] = []
    scored = Pairs.score

    def looking(*args):
        seen.append((tmp_path / "new" / "manifest.json").is_file())
        return scored(*args)

    monkeypatch.setattr(Pairs, "score", looking)
    bench.score(table, tmp_path / "new")
    assert seen == [True] * 4


def test_shards_can_be_read_by_themselves(out):
    """The names are those other tools expect, and hold nothing they stumble over."""
    assert pq.ParquetDataset(parts(out)).read().num_rows == 15
