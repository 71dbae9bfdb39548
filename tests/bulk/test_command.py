"""Flags and output of the command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reeltune.scoring.predictor import Predictor
from tests.bulk.build import Row, output_rows, p_yes_alone, write_rows
from tests.bulk.command import arguments, call
from tests.errors import error_code

ROWS = [Row(1, 1), Row(11, 4), Row(1, 7)]


@pytest.fixture
def score(tiny_qwen3, prepared, capsys):
    """Call the command; returns exit code, standard output and standard error."""

    def score(*rest: str | Path) -> tuple[int, str, str]:
        code = call(arguments(tiny_qwen3, prepared.path, *rest))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return score


@pytest.mark.slow
def test_pairs(score, predictor, tmp_path):
    table = write_rows(tmp_path / "in.parquet", ROWS)
    code, stdout, progress = score(
        table, tmp_path / "out", "--history", "2", "--rows-per-shard", "2"
    )
    assert code == 0
    *_, last = stdout.splitlines()
    assert re.findall(r"\b\d+\b", last.replace(str(tmp_path), "")) == ["3", "2"]
    assert str(tmp_path / "out") in last
    assert "3/3" in progress
    found = [row["p_yes"] for row in output_rows(tmp_path / "out")]
    short = Predictor(predictor.loaded, 2)
    np.testing.assert_allclose(found, [p_yes_alone(short, row) for row in ROWS], atol=1e-6)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["identity"]["history"] == 2

    code, stdout, _ = score(table, tmp_path / "out", "--history", "2", "--rows-per-shard", "2")
    finished = json.loads((tmp_path / "out" / "done.json").read_text())["finished"]
    assert (code, finished in stdout) == (0, True)
    code, _, stderr = score(table, tmp_path / "out")
    assert (code, error_code(stderr)) == (8, "output_of_other_inputs")
    assert "history: 2 -> 5" in stderr
    assert score(table, tmp_path / "out", "--overwrite")[0] == 0


def test_ignored_columns_and_invalid_rows_are_reported(score, tmp_path):
    table = pa.table({"userId": [1, 2], "movieId": [1, 1], "rating": [4.0, 3.0]})
    pq.write_table(table, tmp_path / "in.parquet")
    code, _, stderr = score(tmp_path / "in.parquet", tmp_path / "out")
    assert (code, error_code(stderr)) == (10, "invalid_input_rows")
    assert "row 1: " in stderr
    code, stdout, _ = score(tmp_path / "in.parquet", tmp_path / "out", "--skip-unknown")
    assert code == 0
    assert any(line.endswith(": rating") for line in stdout.splitlines())
    missing, total = next(line for line in stdout.splitlines() if "p_yes" in line).split()[0:3:2]
    assert (missing, total) == ("1", "2")


def test_top(score, lookup, tmp_path):
    flags = ("--genre", "drama", "--genre", "comedy", "--year-from", "1910", "--candidates", "5")
    code, stdout, progress = score("--top", "2", tmp_path / "out", *flags, "--rows-per-shard", "6")
    assert (code, "8/8" in progress) == (0, True)
    found = output_rows(tmp_path / "out")
    assert [row["user_id"] for row in found[::2]] == lookup.user_ids.tolist()
    assert [row["rank"] for row in found] == [1, 2] * 8
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    identity = manifest["identity"]
    assert (identity["genres"], identity["year_from"], identity["candidates"]) == (
        ["drama", "comedy"],
        1910,
        5,
    )
    assert (identity["rows_per_shard"], manifest["shards"]) == (3, 3)

    pq.write_table(pa.table({"user_id": [21, 11]}), tmp_path / "users.parquet")
    code, stdout, _ = score(tmp_path / "users.parquet", tmp_path / "some", "--top", "1")
    assert [row["user_id"] for row in output_rows(tmp_path / "some")] == [21, 11]
    assert " 40 " in stdout


@pytest.mark.parametrize(
    ("rest", "code", "figure"),
    [
        (["out"], "missing_input_table", " out "),
        (["a", "b", "c"], "too_many_paths", " c. "),
        (["out", "--top", "1", "--columns", "user=x"], "missing_input_table", "--columns"),
        (["a", "b", "--top", "1", "--columns", "item=x"], "bad_columns", "'item'"),
        (["a", "b", "--genre", "drama"], "filter_without_top", "--genre"),
        (["a", "b", "--min-ratings", "0"], "filter_without_top", "--min-ratings"),
        (["a", "b", "--candidates", "9"], "filter_without_top", "--candidates"),
    ],
)
def test_conflicting_arguments_are_errors(score, rest, code, figure):
    exit_code, _, stderr = score(*rest)
    assert (exit_code, error_code(stderr)) == (3, code)
    assert figure in stderr


def test_processes_of_a_launcher_are_refused(score, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, stderr = score("in", "out")
    assert (code, error_code(stderr)) == (3, "launched_score")
    assert "--ray local" in stderr


def test_missing_adapter_is_an_error(tiny_qwen3, prepared, tmp_path, capsys):
    table = write_rows(tmp_path / "in.parquet", ROWS)
    args = arguments(tiny_qwen3, prepared.path, table, tmp_path / "out")
    args.remove("--base-only")
    assert call([*args, "--adapter", str(tmp_path)]) == 6
    stderr = capsys.readouterr().err
    assert error_code(stderr) == "adapter_not_found"
    assert "reeltune train" in stderr
    assert not (tmp_path / "out").exists()
