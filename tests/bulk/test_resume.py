"""Resuming: complete shards are kept, missing ones are scored, other inputs are errors."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reeltune.bulk.tasks import Pairs
from reeltune.errors import RequestError, RunError
from tests.bulk.build import Row, output_rows, parts, write_rows
from tests.errors import raises_error
from tests.test_files import plant

ROWS = [Row(user, item) for user in (1, 11, 21) for item in (1, 4, 7, 10, 13)]


@pytest.fixture
def table(tmp_path) -> Path:
    return write_rows(tmp_path / "in.parquet", ROWS)


@pytest.fixture
def out(bench, table, tmp_path) -> Path:
    """A complete output: four shards of 4, 4, 4 and 3 rows."""
    bench.score(table, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def scored_since(monkeypatch) -> list[int]:
    """Row counts of the shards scored from here on."""
    found: list[int] = []
    scored = Pairs.score

    def listening(task, table, *rest):
        found.append(table.num_rows)
        return scored(task, table, *rest)

    monkeypatch.setattr(Pairs, "score", listening)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in parts(folder)}


def test_a_finished_run_does_nothing(bench, table, out, scored_since, monkeypatch):
    monkeypatch.setattr("reeltune.bulk.score.load_model", None)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    outcome = bench.score(table, out)
    assert outcome.already_done
    assert outcome.record == json.loads((out / "done.json").read_text())
    assert scored_since == []
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_missing_and_broken_shards_are_scored_again(bench, table, out, scored_since):
    before = contents(out)
    (out / "part-00001.parquet").unlink()
    (out / "part-00003.parquet").write_bytes(before["part-00003.parquet"][:-9])
    assert bench.plan(table, out).missing == [1, 3]
    outcome = bench.score(table, out)
    assert not outcome.already_done
    assert scored_since == [4, 3]
    assert contents(out) == before


def test_a_shard_with_zeros_within_is_scored_again_in_one_line(bench, table, out, caplog):
    before = contents(out)
    shard = bytearray(before["part-00001.parquet"])
    shard[40:60] = bytes(20)
    (out / "part-00001.parquet").write_bytes(shard)
    assert bench.plan(table, out).missing == [1]
    assert [r.levelname for r in caplog.records if r.levelno > logging.INFO] == ["WARNING"]
    assert "part-00001.parquet" in caplog.text
    bench.score(table, out)
    assert contents(out) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_record_is_written_again(bench, table, out, content, scored_since):
    (out / "done.json").write_bytes(content)
    assert not bench.score(table, out).already_done
    assert bench.score(table, out).already_done
    assert scored_since == []


@pytest.mark.parametrize("taken", ["part-00000.parquet", "part-00003.parquet"])
def test_a_renamed_shard_is_scored_again(bench, table, out, taken):
    """Even if the number of rows is right."""
    before = contents(out)
    (out / taken).replace(out / "part-00002.parquet")
    bench.score(table, out)
    assert contents(out) == before


def test_a_shard_of_another_identity_is_scored_again(bench, table, out, tmp_path):
    """As a late write of another run would leave it."""
    other = tmp_path / "other"
    bench.score(write_rows(tmp_path / "other.parquet", ROWS[::-1]), other)
    before = contents(out)
    shutil.copy(other / "part-00001.parquet", out / "part-00001.parquet")
    bench.score(table, out)
    assert contents(out) == before


def test_an_unexpected_shard_is_an_error(bench, table, out):
    shutil.copy(out / "part-00001.parquet", out / "part-00004.parquet")
    with raises_error(RunError, "unexpected_shard", figures=["part-00004.parquet"]):
        bench.score(table, out)


def test_a_run_killed_before_done_json_only_writes_done_json(bench, table, out, scored_since):
    record = json.loads((out / "done.json").read_text())
    (out / "done.json").unlink()
    found = bench.score(table, out)
    assert scored_since == []
    assert not found.already_done
    assert json.loads((out / "done.json").read_text()).keys() == record.keys()


def test_a_record_with_other_totals_is_rewritten(bench, table, out):
    record = json.loads((out / "done.json").read_text())
    (out / "done.json").write_text(json.dumps(record | {"rows": 14}))
    assert not bench.score(table, out).already_done
    assert json.loads((out / "done.json").read_text())["rows"] == 15


def test_done_json_is_absent_while_shards_are_missing(bench, table, out, monkeypatch):
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


def test_a_shard_gets_its_name_when_complete(bench, table, tmp_path, monkeypatch):
    new = tmp_path / "new"
    seen: list[list[Path]] = []
    write = pq.write_table

    def looking(*args, **options):
        write(*args, **options)
        seen.append(parts(new))

    monkeypatch.setattr(pq, "write_table", looking)
    bench.score(table, new)
    assert [len(names) for names in seen] == [0, 1, 2, 3]


def test_leftovers_of_a_killed_run_are_removed(bench, table, out):
    for target in ("part-00002.parquet", "manifest.json"):
        plant(out / f".{target}.abc.part", target)
    (out / ".lock").touch()  # kept by earlier versions
    assert bench.score(table, out).already_done
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [".lock", "done.json", "manifest.json", *contents(out)]
    )


def test_finish_with_a_missing_shard_is_an_error(bench, table, out):
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
def test_other_settings_are_an_error_that_names_them(bench, table, out, change, named):
    before = contents(out)
    figures = [f"({named})", "--overwrite"]
    with raises_error(RunError, "output_of_other_inputs", figures=figures):
        bench.score(table, out, **change)
    assert contents(out) == before
    bench.score(table, out, **change, overwrite=True)
    assert len(output_rows(out)) == 15
    assert not (set(contents(out)) - {f"part-{n:05}.parquet" for n in range(4)})


def test_a_manifest_without_shards_is_replaced(bench, table, out):
    (want,) = {path.name: path.read_bytes() for path in parts(out)[:1]}.values()
    for path in parts(out):
        path.unlink()
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["identity"]["history"] = 2000
    (out / "manifest.json").write_text(json.dumps(manifest))
    bench.score(table, out)
    assert parts(out)[0].read_bytes() == want
    assert json.loads((out / "manifest.json").read_text())["identity"]["history"] != 2000


def test_other_input_rows_are_an_error(bench, out, tmp_path):
    other = write_rows(tmp_path / "in2.parquet", ROWS[1:])
    with raises_error(RunError, "output_of_other_inputs", figures=["rows: 15 -> 14"]) as error:
        bench.score(other, out)
    before, after = re.findall(r"\(input: (\w+)\.\.\. -> (\w+)\.\.\.;", str(error.value))[0]
    assert before != after


def test_a_moved_input_table_is_the_same_input(bench, table, out, tmp_path):
    assert bench.score(table.rename(tmp_path / "elsewhere.parquet"), out).already_done


def test_overwrite_keeps_old_shards_until_the_input_is_checked(bench, out, tmp_path):
    before = contents(out)
    faulty = write_rows(tmp_path / "faulty.parquet", [Row(1, 2)])
    with raises_error(RequestError, "invalid_input_rows"):
        bench.score(faulty, out, overwrite=True)
    assert contents(out) == before
    assert (out / "done.json").exists()


def test_overwrite_removes_surplus_shards(bench, out, tmp_path):
    short = write_rows(tmp_path / "short.parquet", ROWS[:2])
    bench.score(short, out, overwrite=True)
    assert len(parts(out)) == 1
    assert len(output_rows(out)) == 2


@pytest.mark.parametrize("name", ["notes.txt", "part-00000.parquet"])
def test_a_folder_with_other_files_is_an_error(bench, table, tmp_path, name):
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


def test_the_manifest_is_written_before_the_first_shard(bench, table, tmp_path, monkeypatch):
    seen: list[bool] = []
    scored = Pairs.score

    def looking(*args):
        seen.append((tmp_path / "new" / "manifest.json").is_file())
        return scored(*args)

    monkeypatch.setattr(Pairs, "score", looking)
    bench.score(table, tmp_path / "new")
    assert seen == [True] * 4


def test_other_tools_read_all_shards_as_a_dataset(out):
    """pyarrow finds the files by name."""
    assert pq.ParquetDataset(parts(out)).read().num_rows == 15
