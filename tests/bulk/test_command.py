"""The flags of the command, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reeltune.asking.judge import Judge
from reeltune.bulk.progress_bar import PaceColumn
from tests.bulk.build import Row, answers, p_yes_alone, write_rows
from tests.bulk.command import arguments, call

ROWS = [Row(1, 1), Row(11, 4), Row(1, 7)]


@pytest.fixture
def ask(tiny_qwen3, prepared, capsys):
    """Call the command; returns its exit code, what it says, and what it complains of."""

    def ask(*rest: str | Path) -> tuple[int, str, str]:
        code = call(arguments(tiny_qwen3, prepared.path, *rest))
        said = capsys.readouterr()
        return code, said.out, said.err

    return ask


def test_pairs(ask, judge, tmp_path):
    table = write_rows(tmp_path / "in.parquet", ROWS)
    code, said, progress = ask(table, tmp_path / "out", "--history", "2", "--rows-per-shard", "2")
    assert code == 0
    assert f"3 rows in 2 shards are in {tmp_path / 'out'}" in said
    assert "3/3 rows" in progress
    found = [row["p_yes"] for row in answers(tmp_path / "out")]
    short = Judge(judge.subject, 2)
    np.testing.assert_allclose(found, [p_yes_alone(short, row) for row in ROWS], atol=1e-6)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["identity"]["history"] == 2

    code, said, _ = ask(table, tmp_path / "out", "--history", "2", "--rows-per-shard", "2")
    assert (code, "nothing to do: all was judged by" in said) == (0, True)
    code, _, complaint = ask(table, tmp_path / "out")
    assert (code, "history: 2 -> 5" in complaint) == (8, True)
    assert ask(table, tmp_path / "out", "--overwrite")[0] == 0


def test_what_is_not_read_is_said(ask, tmp_path):
    table = pa.table({"userId": [1, 2], "movieId": [1, 1], "rating": [4.0, 3.0]})
    pq.write_table(table, tmp_path / "in.parquet")
    code, _, complaint = ask(tmp_path / "in.parquet", tmp_path / "out")
    assert (code, "row 1: unknown user_id 2" in complaint) == (10, True)
    code, said, _ = ask(tmp_path / "in.parquet", tmp_path / "out", "--skip-unknown")
    assert code == 0
    assert "columns that are not read: rating" in said
    assert "1 of 2 rows could not be judged and have no p_yes" in said


def test_top(ask, lookup, tmp_path):
    flags = ("--genre", "drama", "--genre", "comedy", "--year-from", "1910", "--candidates", "5")
    code, said, progress = ask("--top", "2", tmp_path / "out", *flags, "--rows-per-shard", "6")
    assert (code, "8/8 users" in progress) == (0, True)
    found = answers(tmp_path / "out")
    assert [row["user_id"] for row in found[::2]] == lookup.user_ids.tolist()
    assert [row["rank"] for row in found] == [1, 2] * 8
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    asked = manifest["identity"]
    assert (asked["genres"], asked["year_from"], asked["candidates"]) == (
        ["drama", "comedy"],
        1910,
        5,
    )
    assert (asked["rows_per_shard"], manifest["shards"]) == (3, 3)

    pq.write_table(pa.table({"user_id": [21, 11]}), tmp_path / "users.parquet")
    code, said, _ = ask(tmp_path / "users.parquet", tmp_path / "some", "--top", "1")
    assert [row["user_id"] for row in answers(tmp_path / "some")] == [21, 11]
    assert "judging up to 40 films for each user" in said


@pytest.mark.parametrize(
    ("completed", "elapsed", "said"),
    [(0, 5.0, ""), (50, 40.0, "1.2/s, 1:59:20 left"), (8000, 4.0, "2,000/s, 0:00 left")],
)
def test_pace_and_time_left(completed, elapsed, said):
    task = SimpleNamespace(completed=completed, elapsed=elapsed, remaining=9000 - completed)
    assert PaceColumn().render(task).plain == said  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (["out"], "nothing to judge: only out is given"),
        (["a", "b", "c"], "3 paths are given, the third is c"),
        (["a", "b", "--genre", "drama"], "--genre chooses films"),
        (["a", "b", "--min-ratings", "0"], "--min-ratings chooses films"),
        (["a", "b", "--candidates", "9"], "--candidates chooses films"),
    ],
)
def test_what_does_not_go_together(ask, rest, said):
    code, _, complaint = ask(*rest)
    assert (code, said in complaint) == (3, True)


def test_an_adapter_that_is_not_there(tiny_qwen3, prepared, tmp_path, capsys):
    table = write_rows(tmp_path / "in.parquet", ROWS)
    args = arguments(tiny_qwen3, prepared.path, table, tmp_path / "out")
    args.remove("--base-only")
    assert call([*args, "--adapter", str(tmp_path)]) == 6
    assert "no adapter here. Run: reeltune train" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
