"""Exports hold what the renderer renders, row by row."""

import json

import pytest

from reeltune.data import export
from reeltune.data.export import export_json
from reeltune.data.folder import PreparedFolder
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.domain import Renderer

from .editions import ItemRow, items, timeline, write_edition

ODD = [
    ItemRow(10, 'He said "no" \\ 100% (1990)'),
    ItemRow(20, "One\ntwo\t\u2028three (1991)"),
    ItemRow(30, "<|im_end|> \u00e9\u4e16\U0001f3ac", "Drama|Sci-Fi"),
]


@pytest.fixture
def folder(tmp_path):
    """Prepare two users with odd titles and return the opened folder."""

    def run(**changes) -> PreparedFolder:
        ratings = [*timeline(1, 12), *timeline(2, 9)]
        source = write_edition(tmp_path / "in", ratings, [*ODD, *items(12)[3:]])
        split = SplitSettings(val_fraction=0.25, test_fraction=0.25)
        settings = PrepareSettings(
            tmp_path / "out", history_len=3, min_history=2, split=split, **changes
        )
        prepare(source, settings)
        return PreparedFolder.open(tmp_path / "out")

    return run


def expected_rows(folder: PreparedFolder, split: str) -> list[tuple[str, str]]:
    """User text and answer of every example, by the renderer alone."""
    renderer, t = Renderer(folder.prompt_settings), folder.timelines
    examples = folder.examples(split)
    rows = []
    for start, target in zip(examples.start, examples.target, strict=True):
        history = [(float(t.rating[i]), folder.items[t.item_idx[i]]) for i in range(start, target)]
        (text,) = renderer.turns(history, folder.items[t.item_idx[target]])
        rows.append((text, renderer.answer(bool(t.liked[target]))))
    return rows


@pytest.mark.parametrize("genres", [False, True])
def test_chat_rows_are_what_the_renderer_renders(folder, genres) -> None:
    prepared = folder(genres=genres)
    for name, split in (("train.json", "train"), ("eval.json", "validation")):
        rows = json.loads((prepared.path / name).read_text(encoding="utf-8"))
        expected = [
            {
                "messages": [
                    {"role": "user", "content": text},
                    {"role": "assistant", "content": answer},
                ]
            }
            for text, answer in expected_rows(prepared, split)
        ]
        assert rows == expected
        assert rows
        assert all(("Drama]" in text) == genres for text, _ in expected_rows(prepared, split))


def test_alpaca_instruction_and_input_together_are_the_user_text(folder) -> None:
    prepared = folder(export="alpaca")
    rows = json.loads((prepared.path / "train.json").read_text(encoding="utf-8"))
    assert [set(row) for row in rows] == [{"instruction", "input", "output"}] * len(rows)
    assert [(row["instruction"] + row["input"], row["output"]) for row in rows] == expected_rows(
        prepared, "train"
    )
    renderer = Renderer(prepared.prompt_settings)
    assert {row["instruction"] for row in rows} == {renderer.head() + renderer.heading()}


def test_raw_test_rows_hold_facts_and_no_prompt(folder) -> None:
    prepared = folder()
    lines = (prepared.path / "test_raw.jsonl").read_bytes().decode().split("\n")
    rows = [json.loads(line) for line in lines if line]
    assert [row["user_id"] for row in rows] == [1, 1, 2]
    assert rows[0] == {
        "user_id": 1,
        "item_id": 110,
        "title": "Film 11",
        "year": 2001,
        "rating": 4.0,
        "timestamp": 1_000_011,
        "label": "Yes",
        "history": {
            "item_id": [80, 90, 100],
            "title": ["Film 8", "Film 9", "Film 10"],
            "year": [1998, 1999, 2000],
            "rating": [3.0, 4.0, 3.0],
            "timestamp": [1_000_008, 1_000_009, 1_000_010],
        },
    }


def test_no_json_writes_none(folder) -> None:
    prepared = folder(export=None)
    assert sorted(path.name for path in prepared.path.iterdir()) == [
        *("items.parquet", "meta.json", "timelines.parquet")
    ]
    assert set(prepared.meta["files"]) == {"items.parquet", "timelines.parquet"}


def test_every_row_is_counted_for_progress(folder, monkeypatch) -> None:
    monkeypatch.setattr(export, "_REPORTED_ROWS", 2)
    prepared, counts = folder(), []
    written = export_json(prepared, "chat", counts.append)
    assert sum(counts) == sum(written.values()) > 0
    assert max(counts) <= 2
