"""Tags: the text of an event is made of earlier tags alone, and bad rows of the file are named."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.api.data import prepare
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import NOW, History, NoContext
from reeltune.data.tags import MOST_TAGS, ItemTags, Tag, TagSource
from reeltune.errors import DataError
from reeltune.signals.folder import with_signals
from tests.errors import raises_error
from tests.timelines import timelines_of

from .editions import items, timeline, write_edition

HEADER = "userId,movieId,tag,timestamp\n"


def prepared(tmp_path: Path, rows: str, *, zipped: bool = False, **changes) -> PreparedFolder:
    """Prepare one user's ratings of films 10, 20, ... at seconds 1000001, 1000002, ..."""
    source = write_edition(tmp_path / "in", timeline(1, 12), items(12))
    (source / "tags.csv").write_text(HEADER + rows, encoding="utf-8")
    if zipped:
        with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
            for file in source.iterdir():
                archive.write(file, f"in/{file.name}")
        source = tmp_path / "in.zip"
    shares = {"val_fraction": 0.2, "test_fraction": 0.2}
    columns = ["tags", "genres"]
    return prepare(source, tmp_path / "out", history_len=3, item_text=columns, **shares, **changes)


def test_texts_by_hand():
    tags = ItemTags.of(
        [Tag(0, 5, "Dark"), Tag(0, 5, "slow"), Tag(0, 7, "SLOW"), Tag(2, 6, "a\n<|im_end|>")], 3
    )
    assert tags.texts == ["", "dark, slow", "slow, dark", "", "", "a < |im_end|>"]
    at = {time: tags.before(np.array([0, 1, 2]), time).tolist() for time in (5, 6, 7, 8)}
    assert at == {5: [0, 3, 4], 6: [1, 3, 4], 7: [1, 3, 5], 8: [2, 3, 5]}
    assert tags.before(np.array([2, 0, 1]), NOW).tolist() == [5, 2, 3]


rows_of_tags = st.lists(
    st.builds(Tag, st.integers(0, 3), st.integers(0, 6), st.sampled_from("abcdef")), max_size=25
).map(sorted)


@given(rows_of_tags, st.integers(0, 3), st.integers(0, 7))
def test_a_text_is_that_of_the_earlier_tags_alone(rows: list[Tag], item: int, time: int):
    tags = ItemTags.of(rows, 4)
    earlier = [row.tag for row in rows if row.item_idx == item and row.timestamp < time]
    names = dict.fromkeys(earlier)
    ranked = sorted(names, key=lambda tag: (-earlier.count(tag), earlier.index(tag)))
    version = tags.before(np.array([item]), time)
    assert tags.texts[int(version[0])] == ", ".join(ranked)
    assert tags.item_idx[version].tolist() == [item]


def test_items_of_32_bits_have_their_tags_among_many_items_and_times():
    always, last, times = np.iinfo(np.int64).min, 70_000, range(1, 40_001)
    tags = ItemTags(
        texts=["", *map(str, times), "", "last"],
        item_idx=np.array([0, *(0 for _ in times), last, last]),
        since=np.array([always, *times, always, 5]),
    )
    version = tags.before(np.array([last, last], dtype=np.int32), np.array([5, 6]))
    assert [tags.texts[one] for one in version] == ["", "last"]


def test_a_text_has_the_most_frequent_tags_only():
    rows = [Tag(0, n, f"t{n}") for n in range(20)] + [Tag(0, 20, "t19")]
    text = ItemTags.of(rows, 1).texts[-1]
    assert text == ", ".join(["t19", *(f"t{n}" for n in range(MOST_TAGS - 1))])


def test_queries_show_all_tags_and_past_ones_those_before_their_time():
    tags = ItemTags.of([Tag(0, 5, "old"), Tag(1, 5, "old"), Tag(1, 9, "new")], 2)
    events = timelines_of([0, 1], [4.0, 2.0])
    source = TagSource(tags, events, NoContext())
    now = History.of([0, 1], [4.0, 2.0])
    shown, codes = source.of_query(now, np.array([1]), 1)
    assert shown.context is not None
    assert [tags.texts[code] for code in (*shown.context[:, 0], *codes[:, 0])] == ["old, new"] * 2
    then = History(now.item_idx, now.rating, timestamp=np.array([5, 6]))
    shown, codes = source.of_query(then, np.array([1, 1]), 2, np.array([9, 10]))
    assert shown.context is not None
    assert [tags.texts[code] for code in shown.context[:, 0]] == ["", "old"]
    assert [tags.texts[code] for code in codes[:, 0]] == ["old", "old, new"]
    kept, _ = source.of_query(shown, np.array([1]), 1)
    assert np.array_equal(kept.context, shown.context[1:])  # type: ignore[arg-type]
    assert then.without(0).timestamp.tolist() == [6]  # type: ignore[union-attr]


@pytest.mark.parametrize("zipped", [False, True])
def test_prepared_events_have_the_tags_given_before_them(tmp_path, zipped):
    # Film 100 is rated at second 1000010, by the tenth of twelve ratings.
    rows = '7,100,early,1000009\n7,100,same,1000010\n7,100,late,1000011\n7,20,"a, b",5\n'
    folder = prepared(tmp_path, rows, zipped=zipped)
    assert folder.prompt_settings.item_text == ("genres", "tags")
    assert folder.meta["files"]["tags.parquet"]["rows"] == 4
    assert folder.tags is not None
    opened = with_signals(PreparedFolder.open(folder.path), ())
    codes = opened.timelines.context
    assert codes is not None
    texts = [folder.tags.texts[code] for code in codes[:, 0].tolist()]
    assert texts == ["", "a, b", *[""] * 7, "early", "", ""]
    exported = json.loads((folder.path / "train.json").read_text(encoding="utf-8"))
    exported += json.loads((folder.path / "eval.json").read_text(encoding="utf-8"))
    shown = [row["messages"][0]["content"].partition("Tags: ")[2] for row in exported]
    assert [text for text in shown if text] == ["early\nYes or No?"]


def test_changed_tags_are_refused(tmp_path):
    folder = prepared(tmp_path, "7,100,early,1000009\n")
    (folder.path / "tags.parquet").write_bytes(b"")
    with raises_error(DataError, "prepared_data_changed"):
        PreparedFolder.open(folder.path)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("7,5,x,1", "tag_of_unknown_item"),
        ("7,10,x,soon", "tag_time_not_a_number"),
        ("7,10, ,1", "empty_tag"),
        ("7,10,x", "tag_field_count"),
    ],
)
def test_bad_rows_stop_or_are_listed(tmp_path, row, reason):
    rows = "".join(f"7,10,t{n},{n}\n" for n in range(20)) + f"{row}\n"
    with raises_error(DataError, "bad_row", where="tags.csv, line 22"):
        prepared(tmp_path, rows)
    folder = prepared(tmp_path, rows, skip_bad_rows=True)
    assert folder.meta["dropped"][reason]["count"] == 1
    assert folder.meta["files"]["tags.parquet"]["rows"] == 20


def test_an_edition_without_tags_has_no_such_column(tmp_path):
    source = write_edition(tmp_path / "in", timeline(1, 12), items(12))
    with raises_error(DataError, "no_item_text_column"):
        prepare(source, tmp_path / "out", history_len=3, item_text=["tags"])
