"""Columns of item text in prepared data: read, stored, exported, and refused where unknown."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reeltune.api.data import prepare
from reeltune.data.folder import PreparedFolder
from reeltune.errors import ConfigError, DataError
from tests.errors import raises_error

from .editions import ItemRow, items, timeline, write_edition


def edition(tmp_path: Path, layout: str = "csv") -> Path:
    """An edition whose films have, in a CSV file, a column ``about``."""
    source = write_edition(
        tmp_path / "in", timeline(1, 12), [ItemRow(10, "A (1990)", ""), *items(12)[1:]], layout
    )
    if layout == "csv":
        file = source / "movies.csv"
        with file.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        with file.open("w", encoding="utf-8", newline="") as stream:
            texts = ("" if index else "One\ntwo" for index in range(len(rows)))
            written = ([*row, text] for row, text in zip(rows, texts, strict=True))
            csv.writer(stream, lineterminator="\n").writerows([[*header, "about"], *written])
    return source


def prepared(tmp_path: Path, *columns: str, layout: str = "csv") -> PreparedFolder:
    source = edition(tmp_path, layout)
    return prepare(
        source,
        tmp_path / "out",
        history_len=3,
        item_text=columns,
        val_fraction=0.2,
        test_fraction=0.2,
    )


def test_texts_are_stored_in_the_order_asked_for(tmp_path):
    folder = prepared(tmp_path, "about", "genres")
    assert folder.prompt_settings.item_text == ("about", "genres")
    assert folder.meta["settings"]["item_text"] == ["about", "genres"]
    assert [item.text for item in folder.items[:2]] == [("One\ntwo", ""), ("", "Action, Drama")]
    assert PreparedFolder.open(folder.path).items == folder.items


@pytest.mark.parametrize("layout", ["100k", "1m"])
def test_every_layout_has_genres(tmp_path, layout):
    assert prepared(tmp_path, "genres", layout=layout).items[1].text == ("Action, Drama",)


def test_exported_prompts_show_the_candidates_text(tmp_path):
    folder = prepared(tmp_path, "genres")
    rows = json.loads((folder.path / "train.json").read_text(encoding="utf-8"))
    texts = [row["messages"][0]["content"] for row in rows]
    assert all(text.count("Genres: Action, Drama\nYes or No?") == 1 for text in texts)
    assert all(text.count("Genres:") == 1 for text in texts)


def test_data_without_item_text_are_described_as_before(tmp_path):
    folder = prepared(tmp_path)
    assert "item_text" not in folder.meta["settings"]
    assert "item_text" not in folder.meta["prompt"]
    assert pq.read_schema(folder.path / "items.parquet").names[-1] == "genres"
    assert folder.items[0].text == ()


@pytest.mark.parametrize(("layout", "column"), [("csv", "plot"), ("csv", "title"), ("1m", "about")])
def test_an_unknown_column_is_refused(tmp_path, layout, column):
    with raises_error(DataError, "no_item_text_column"):
        prepared(tmp_path, "genres", column, layout=layout)


@pytest.mark.parametrize("columns", [("genres", "genres"), ("genres", "")])
def test_columns_are_named_once(tmp_path, columns):
    with raises_error(ConfigError, "bad_item_text"):
        prepared(tmp_path, *columns)
