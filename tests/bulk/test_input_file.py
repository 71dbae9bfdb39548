"""Input of every format gives the predictions of the same rows in parquet."""

from __future__ import annotations

import gzip
import json
from contextlib import ExitStack

import polars as pl
import pyarrow as pa
import pytest

from reeltune.bulk.input_file import open_input
from reeltune.bulk.input_table import InputTable
from reeltune.bulk.tasks import Pairs
from reeltune.data import table_files
from reeltune.errors import DataError, RunError
from tests.bulk.build import Row, output_rows, parts, write_rows
from tests.bulk.command import arguments, call
from tests.errors import raises_error

ROWS = [Row(11, 4), Row(1, 1), Row(11, 10), Row(71, 22), Row(1, 7)]
CSV = "".join(f"{row.user},{row.item}\n" for row in ROWS)
JSON = "".join(json.dumps({"user": row.user, "item": str(row.item)}) + "\n" for row in ROWS)


def parquet(names: tuple[str, str]) -> bytes:
    sink = pa.BufferOutputStream()
    pl.DataFrame([(r.user, r.item) for r in ROWS], schema=names, orient="row").write_parquet(sink)
    return sink.getvalue().to_pybytes()


FORMATS: dict[str, tuple[str | bytes, dict[str, str]]] = {
    "standard names": ("user_id,item_id\n" + CSV, {}),
    "tabs": ("userId\tmovieId\n" + CSV.replace(",", "\t"), {}),
    "quotes": ('"User-ID";"ISBN"\n' + CSV.replace(",", ";"), {}),
    "own names": ("item,x,who\n" + "".join(f"{r.item},,{r.user}\n" for r in ROWS), {"user": "who"}),
    "no header": (CSV, {"user": "1", "item": "2"}),
    "names before usual ones": (
        "username,user_id,isbn,item_id\n" + "".join(f"x,{r.user},y,{r.item}\n" for r in ROWS),
        {},
    ),
    "JSON Lines": (JSON, {}),
    "parquet": (parquet(("reviewer", "what")), {"item": "what"}),
    "compressed parquet": (gzip.compress(parquet(("user", "isbn"))), {}),
}


@pytest.fixture
def open_file(tmp_path):
    """Write a file and open it; what it is converted to exists until the test ends."""
    with ExitStack() as resources:

        def open_file(content: str | bytes, named=None, *, pairs: bool = True) -> InputTable:
            path = tmp_path / "in"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            return open_input(path, tmp_path / "out", resources, named or {}, pairs=pairs)

        yield open_file


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(open_file, lookup, name):
    table = open_file(*FORMATS[name])
    (rows,) = Pairs(table, lookup, 9).slices([range(len(ROWS))])
    assert rows.schema == pa.schema({"user_id": pa.int64(), "item_id": pa.int64()})
    assert rows.to_pylist() == [{"user_id": row.user, "item_id": row.item} for row in ROWS]
    assert table.rows == len(ROWS)


def test_rows_are_those_of_many_chunks(open_file, lookup, monkeypatch):
    monkeypatch.setattr(table_files, "_CHUNK_ROWS", 7)
    users = [n % 80 for n in range(200)]
    table = open_file('user,item,"x"\n' + "".join(f"{user},{user},\n" for user in users))
    slices = Pairs(table, lookup, 9).slices([range(5, 50), range(90, 200)])
    assert [rows["user_id"].to_pylist() for rows in slices] == [users[5:50], users[90:]]
    assert table.ignored == ("x",)


def test_ids_stay_text_unless_they_and_those_of_the_data_are_numbers(open_file, lookup):
    table = open_file("user,item\n1,1\n007,4\n,1.0\n")
    (rows,) = Pairs(table, lookup, 9).slices([range(3)])
    assert rows["user_id"].to_pylist() == ["1", "007", None]
    invalid = table.invalid_rows(lookup).counts
    assert invalid == {"unknown user_id": 1, "missing user_id": 1}


def test_times_are_seconds_or_iso_dates(open_file, lookup):
    table = open_file("user,item,date\n1,1,86400\n1,1,86400.0\n1,1,1970-01-02T01:00+01:00\n1,1,\n")
    (rows,) = Pairs(table, lookup, 9).slices([range(4)])
    assert rows["timestamp"].to_pylist() == [86_400] * 3 + [None]
    assert table.named == {"time": "date"}


@pytest.mark.parametrize(
    ("content", "named", "code", "figures"),
    [
        ("user,item\n1,2\n1\n", {}, "bad_row", ["line 3", "number of fields"]),
        ('{"user": 1, "item": 2}\n[1]\n', {}, "bad_row", ["line 2", "JSON object"]),
        ("user,item,time\n1,2,3\n1,2,noon\n", {}, "bad_row", ["line 3", "'noon'"]),
        ("user,item,time\n1,2,1.5\n", {}, "bad_row", ["line 2", "'1.5'"]),
        ("user,thing\n1,2\n", {}, "missing_columns", ["item;", "user, thing"]),
        ("user,item\n1,2\n", {"item": "isbn"}, "missing_columns", ["'isbn'"]),
        ("[]", {}, "unreadable_table", ["JSON list"]),
    ],
)
def test_what_cannot_be_read_is_an_error(open_file, content, named, code, figures):
    with raises_error(DataError, code, figures=figures):
        open_file(content, named)


def test_a_text_file_gives_the_predictions_of_a_parquet_file(bench, lookup, tmp_path, open_file):
    table = write_rows(tmp_path / "rows.parquet", [*ROWS, Row(999, 1)])
    bench.score(table, tmp_path / "expected", rows_per_shard=2, skip_unknown=True)
    text, out = "user,item\n" + CSV + "999,1\n", tmp_path / "scores"

    def score(named=None, content=text):
        return bench.score(open_file(content, named), out, rows_per_shard=2, skip_unknown=True)

    assert not score().already_done
    assert output_rows(out) == output_rows(tmp_path / "expected")
    shards = {path.name: path.read_bytes() for path in parts(out)}
    (out / "part-00001.parquet").unlink()
    assert not score().already_done
    assert {path.name: path.read_bytes() for path in parts(out)} == shards
    assert score().already_done
    with raises_error(RunError, "output_of_other_inputs", figures=["columns.item"]):
        score({"item": "item"})
    with raises_error(RunError, "output_of_other_inputs", figures=["input"]):
        score(content=text.replace("999", "998"))
    manifest = json.loads((tmp_path / "expected" / "manifest.json").read_text())
    assert "columns" not in manifest["identity"]


def test_command(tiny_qwen3, prepared, tmp_path, capsys):
    (tmp_path / "in.csv").write_text("who,item,rating\n11,4,5\n")
    columns = ("--columns", "user=who")
    for out, rest in {"out": columns, "best": (*columns, "--top", "1")}.items():
        paths = str(tmp_path / "in.csv"), str(tmp_path / out)
        assert call(arguments(tiny_qwen3, prepared.path, *paths, *rest)) == 0
        assert [row["user_id"] for row in output_rows(tmp_path / out)] == [11]
    assert "user=who, item=item" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "in.csv", "out"]
