"""Reading a prepared folder, and that the tests' own folder equals the output of prepare."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reeltune.data.folder import FORMAT_VERSION, PreparedFolder, table_digests
from reeltune.data.history import NoContext
from reeltune.data.invariants import EventTable
from reeltune.data.prepare import check_invariants, prepare
from reeltune.data.settings import PrepareSettings
from reeltune.domain import PROMPT_VERSION, PromptSettings
from reeltune.errors import DataError
from reeltune.files import file_digest
from tests.errors import raises_error
from tests.helpers import make_items, write_prepared
from tests.prepared_data import sign


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_prepared(tmp_path / "prepared", users=5, items=30, history_len=6, min_history=4)


def read_meta(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "meta.json").read_text(encoding="utf-8"))


def test_the_test_folder_has_the_invariants_of_prepared_data(folder: Path):
    meta = read_meta(folder)
    table = EventTable.read(PreparedFolder.open(folder))
    assert check_invariants(table, meta["counts"]["events"])
    counts = meta["counts"]
    assert counts["train"] + counts["validation"] + counts["test"] == counts["examples"]
    assert counts["context"] + counts["examples"] == counts["events"]


def test_the_test_folder_has_the_meta_data_of_prepare(folder: Path, tmp_path: Path):
    events = [
        f"{user},{item},{1 + (user + item) % 5}.0,{1000 + item}"
        for user in range(1, 5)
        for item in range(1, 30)
    ]
    items = [f"{item},Film {item} (1999),Drama" for item in range(1, 30)]
    (tmp_path / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *events]))
    (tmp_path / "movies.csv").write_text("\n".join(["movieId,title,genres", *items]))
    made = prepare(
        tmp_path,
        PrepareSettings(tmp_path / "made", history_len=6, min_history=4, export=None),
    ).path

    def shape(value: Any) -> Any:
        """Keys and types, without what depends on the data."""
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items()}
        return type(value).__name__

    assert shape(read_meta(folder)) == shape(read_meta(made))
    for name in ("timelines.parquet", "items.parquet"):
        assert pl.read_parquet_schema(folder / name) == pl.read_parquet_schema(made / name)


def test_equal_seeds_write_equal_folders(tmp_path: Path):
    first, second, other = (
        {file.name: file.read_bytes() for file in write_prepared(tmp_path / n, seed=s).iterdir()}
        for n, s in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second != other


def test_round_trip(folder: Path):
    read = PreparedFolder.open(folder)
    assert (read.history_len, read.min_history) == (6, 4)
    assert read.prompt_settings == PromptSettings(version=PROMPT_VERSION)
    assert read.items == make_items(30)
    events = pl.read_parquet(folder / "timelines.parquet")
    assert len(read.timelines) == len(events)
    assert read.timelines.context is None
    for column in fields(read.timelines):
        if column.name == "context":
            continue
        assert getattr(read.timelines, column.name).tolist() == events[column.name].to_list()


def test_tables_are_read_once_with_and_without_context(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[str] = []
    parquet_file = pq.ParquetFile

    def spy(file: Path, **options: Any) -> pq.ParquetFile:
        opened.append(file.name)
        return parquet_file(file, **options)

    monkeypatch.setattr("reeltune.data.parquet.pq.ParquetFile", spy)
    plain = PreparedFolder.open(folder)
    for split in ("train", "test"):
        assert len(plain.examples(split))
    assert plain.items
    with_context = plain.with_context(lambda _: NoContext())
    assert with_context.timelines is plain.timelines
    assert with_context.items is plain.items
    assert sorted(opened) == ["items.parquet", "timelines.parquet"]


def test_examples_show_the_events_just_before_the_candidate(folder: Path):
    read = PreparedFolder.open(folder)
    timelines, seen = read.timelines, []
    for split in ("train", "validation", "test"):
        examples = read.examples(split)
        seen += examples.target.tolist()
        assert examples.target.tolist() == sorted(examples.target.tolist())
        for start, target in zip(examples.start, examples.target, strict=True):
            assert timelines.split[target] == split
            assert target - start == min(timelines.position[target], 6)
            assert set(timelines.user_id[start:target].tolist()) == {
                timelines.user_id[target].item()
            }
    context = np.flatnonzero(timelines.split == "context").tolist()
    assert sorted(seen + context) == list(range(len(timelines)))


def test_examples_are_taken_in_the_given_order(folder: Path):
    examples = PreparedFolder.open(folder).examples("train")
    taken = examples.take(np.array([5, 0, 5]))
    assert taken.target.tolist() == [examples.target[i] for i in (5, 0, 5)]
    assert taken.start.tolist() == [examples.start[i] for i in (5, 0, 5)]


def test_an_unknown_split_is_refused(folder: Path):
    with raises_error(DataError, "unknown_split", figures=["'context'"]):
        PreparedFolder.open(folder).examples("context")


def test_a_missing_folder_is_an_error_with_a_hint(tmp_path: Path):
    absent = str(tmp_path / "absent")
    with raises_error(
        DataError,
        "not_a_prepared_folder",
        where=absent,
        figures=[f"reeltune prepare --output-dir {absent}", "data.prepared_dir in its run.json"],
    ):
        PreparedFolder.open(tmp_path / "absent")


def test_a_file_is_no_folder_to_prepare(tmp_path: Path):
    file = tmp_path / "ratings.csv"
    file.write_text("user,item\n")
    with raises_error(
        DataError, "not_a_prepared_folder", where=str(file), figures=["a file"]
    ) as it:
        PreparedFolder.open(file)
    assert "--output-dir" not in str(it.value)


@pytest.mark.parametrize(
    ("version", "code", "hint"),
    [
        (1, "old_prepared_format", "reeltune prepare"),
        (None, "old_prepared_format", "reeltune prepare"),
        (99, "newer_prepared_format", "Update"),
    ],
)
def test_another_format_is_refused(folder: Path, version: int | None, code: str, hint: str):
    meta = read_meta(folder)
    (folder / "meta.json").write_text(json.dumps({**meta, "format_version": version}))
    figures = [version, FORMAT_VERSION, hint]
    with raises_error(DataError, code, where="meta.json", figures=figures):
        PreparedFolder.open(folder)


def test_a_folder_of_the_old_format_is_refused_before_its_tables_are_read(folder: Path):
    (folder / "items.parquet").rename(folder / "films.parquet")
    meta = json.loads((folder / "meta.json").read_text().replace("items.parquet", "films.parquet"))
    (folder / "meta.json").write_text(json.dumps({**meta, "format_version": 1}))
    with raises_error(DataError, "old_prepared_format", figures=[f"--output-dir {folder}"]):
        PreparedFolder.open(folder)


@pytest.mark.parametrize("name", ["timelines.parquet", "items.parquet"])
def test_an_incomplete_folder_is_refused(folder: Path, name: str):
    (folder / name).unlink()
    with raises_error(DataError, "prepared_file_missing", where=str(folder), figures=[name]):
        PreparedFolder.open(folder)


@pytest.mark.parametrize("text", ["", '{"format_version": 1,', "[1]"])
def test_a_broken_description_is_refused(folder: Path, text: str):
    (folder / "meta.json").write_text(text)
    with raises_error(DataError, "bad_prepared_meta", where="meta.json"):
        PreparedFolder.open(folder)


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": {"colour": "red"}}, "prompt"),
        ({"settings": {}}, "settings.history_len"),
        ({"counts": None}, "counts"),
        ({"files": {}}, "files"),
        ({"settings": {"history_len": 6, "min_history": 7}}, "settings.min_history"),
        ({"settings": {"history_len": 6, "min_history": -1}}, "settings.min_history"),
        ({"settings": {"history_len": 0, "min_history": 0}}, "settings.history_len"),
        ({"prompt": PromptSettings(scale_min=0.0).to_dict()}, "prompt"),
    ],
)
def test_an_incomplete_description_is_refused(folder: Path, change: dict, lacking: str):
    (folder / "meta.json").write_text(json.dumps({**read_meta(folder), **change}))
    with raises_error(
        DataError, "bad_prepared_meta", where="meta.json", figures=[lacking, "reeltune prepare"]
    ):
        PreparedFolder.open(folder)


def cut(file: Path) -> str:
    file.write_bytes(file.read_bytes()[:300])
    return "unreadable_table"


def empty(file: Path) -> str:
    file.write_bytes(b"")
    return "unreadable_table"


def without_a_column(file: Path) -> str:
    pq.write_table(pq.read_table(file).drop_columns(["item_id"]), file)
    return "missing_columns"


def without_values(file: Path) -> str:
    table = pq.read_table(file)
    place = table.column_names.index("item_id")
    pq.write_table(table.set_column(place, "item_id", pa.nulls(len(table), pa.int64())), file)
    return "missing_values"


@pytest.mark.parametrize("damage", [cut, empty, without_a_column, without_values])
def test_a_damaged_table_is_an_error_that_names_it(folder: Path, damage: Callable[[Path], str]):
    file = folder / "items.parquet"
    code = damage(file)
    figures = [] if code == "unreadable_table" else ["item_id"]
    with raises_error(
        DataError, code, where="items.parquet", figures=["reeltune prepare", *figures]
    ):
        _ = PreparedFolder.open(folder, verify=False).items
    with raises_error(DataError, "prepared_data_changed", where=str(file)):
        PreparedFolder.open(folder)


@pytest.mark.parametrize("damage", [cut, empty])
def test_damaged_timelines_are_an_error_that_names_them(
    folder: Path, damage: Callable[[Path], str]
):
    code = damage(folder / "timelines.parquet")
    with raises_error(DataError, code, where="timelines.parquet"):
        _ = PreparedFolder.open(folder, verify=False).ratings
    with raises_error(DataError, "prepared_data_changed", where="timelines.parquet"):
        PreparedFolder.open(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta["settings"].update(history_len=7),
        lambda meta: meta["prompt"].update(genres=True),
        lambda meta: meta.update(edition="ml-25m"),
        lambda meta: meta.update(digest=None),
        lambda meta: meta["files"]["items.parquet"].update(sha256="0" * 64),
    ],
)
def test_an_edited_description_is_refused(folder: Path, change: Callable[[dict], object]):
    meta = read_meta(folder)
    change(meta)
    (folder / "meta.json").write_text(json.dumps(meta))
    with raises_error(DataError, "prepared_data_changed", where="meta.json"):
        PreparedFolder.open(folder)
    with raises_error(DataError, "prepared_data_changed", where="meta.json"):
        PreparedFolder.open(folder, verify=False)


def test_a_description_that_was_only_reformatted_is_accepted(folder: Path):
    (folder / "meta.json").write_text(json.dumps(dict(reversed(read_meta(folder).items()))))
    assert PreparedFolder.open(folder).items


def test_a_folder_without_a_digest_is_read_and_its_tables_are_compared(folder: Path):
    meta = read_meta(folder)
    del meta["digest"]
    (folder / "meta.json").write_text(json.dumps(meta))
    assert len(PreparedFolder.open(folder).ratings)
    with (folder / "items.parquet").open("ab") as file:
        file.write(b" ")
    with raises_error(DataError, "prepared_data_changed", where="items.parquet"):
        PreparedFolder.open(folder)


def test_a_description_nested_too_deeply_is_refused(folder: Path):
    (folder / "meta.json").write_text("[" * 100_000)
    with raises_error(DataError, "bad_prepared_meta", where="meta.json"):
        PreparedFolder.open(folder)


@pytest.mark.parametrize("name", ["timelines.parquet", "items.parquet"])
def test_a_table_replaced_after_opening_is_refused(folder: Path, tmp_path: Path, name: str):
    opened = PreparedFolder.open(folder)
    other = write_prepared(tmp_path / "other", items=30, seed=1)
    (other / name).replace(folder / name)
    with raises_error(DataError, "prepared_data_changed", where=name):
        _ = (opened.items, opened.ratings)


def test_files_are_read_once_for_their_checksums(folder: Path, monkeypatch: pytest.MonkeyPatch):
    hashed: list[str] = []

    def spy(path: Path) -> str:
        hashed.append(path.name)
        return file_digest(path)

    monkeypatch.setattr("reeltune.files.file_digest", spy)
    for _ in range(2):
        opened = PreparedFolder.open(folder)
        assert len(opened.ratings)
        assert table_digests(opened)
    assert sorted(hashed) == ["items.parquet", "timelines.parquet"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("rating", float("nan")),
        ("rating", float("inf")),
        ("rating", 5.5),
        ("rating", 3.7),
        ("liked", None),
        ("item_idx", 30),
        ("item_idx", -1),
        ("item_id", 2),
        ("position", 3),
        ("timestamp", 0),
        ("user_id", 10**6),
        ("split", "training"),
        ("split", "test"),
    ],
)
def test_an_event_that_breaks_an_invariant_is_refused_with_valid_checksums(
    folder: Path, column: str, value: object
):
    file, event = folder / "timelines.parquet", 9
    table = pq.read_table(file)
    values = table[column].to_pylist()
    values[event] = not values[event] if value is None else value
    index = table.column_names.index(column)
    pq.write_table(table.set_column(index, column, pa.array(values, table[column].type)), file)
    sign(folder)
    with raises_error(DataError, "broken_prepared_data", where=str(file), figures=["event "]):
        _ = PreparedFolder.open(folder).ratings


def test_a_folder_that_cannot_be_written_is_read(folder: Path):
    (folder / "meta.json").chmod(0o444)
    folder.chmod(0o555)
    try:
        assert len(PreparedFolder.open(folder).ratings)
    finally:
        folder.chmod(0o755)
