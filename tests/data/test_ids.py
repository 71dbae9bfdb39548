"""Ids that are numbers or text, and prepared folders that hold text ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reeltune.data.columns import Columns
from reeltune.data.folder import PreparedFolder
from reeltune.data.ids import Ids, is_whole_number, shown_id
from reeltune.domain import HALF_STARS, RatingScale
from reeltune.errors import DataError
from tests.errors import raises_error
from tests.prepared_data import change_meta, text_item, with_text_ids, write_prepared


@pytest.mark.parametrize("text", ["0", "7", "-7", "9223372036854775807", "-9223372036854775808"])
def test_a_whole_number_is_its_own_key(text: str):
    assert is_whole_number(text)
    assert Ids().key(text) == Ids().key(int(text)) == Ids().id(int(text)) == int(text)


@pytest.mark.parametrize(
    "text", ["", "-", "007", "-0", "+7", " 7", "7.0", "x", "9223372036854775808", "\u0667", "1_0"]
)
def test_other_texts_are_no_whole_numbers(text: str):
    assert not is_whole_number(text)
    assert Ids().key(text) is None


def test_text_ids_have_their_row_as_key():
    ids = Ids(["007", "7", "b"])
    assert [ids.key(given) for given in ("b", "7", 7, "8", -1)] == [2, 1, 1, None, None]
    assert ids.ids(np.array([2, 0])) == ["b", "007"]
    assert ids.arrow(np.array([1])).to_pylist() == ["7"]
    assert Ids().arrow(np.array([1])).to_pylist() == [1]


def test_ids_in_messages_are_short_and_on_one_line():
    assert Ids(["a\nb", "c", "d", "e"]).describe(np.arange(4)) == "such as a b, c, d"
    assert Ids().describe(np.array([1, 1, 2, 3])) == "from 1 to 3"
    assert Ids().describe(np.array([-1, 7])) == "from -1 to 7, with gaps"
    assert len(shown_id("x" * 5000)) == len(shown_id("x" * 60)) == 60


def test_a_prepared_folder_with_text_ids(tmp_path: Path):
    path = write_prepared(tmp_path / "prepared")
    before = PreparedFolder.open(path).ratings
    users = with_text_ids(path)
    folder = PreparedFolder.open(path)
    assert folder.tables == ("timelines.parquet", "items.parquet", "users.parquet")
    assert folder.user_ids.ids(np.unique(folder.ratings.user_id)) == users
    assert [folder.item_ids.id(key) for key in folder.item_keys.tolist()] == [
        item.item_id for item in folder.items
    ]
    assert folder.ratings.item_idx.tolist() == before.item_idx.tolist()
    assert folder.items[3].item_id == text_item(3)


def test_a_user_table_that_was_changed_or_is_missing_is_refused(tmp_path: Path):
    path = write_prepared(tmp_path / "prepared")
    users = with_text_ids(path)
    file = path / "users.parquet"
    pl.DataFrame({Columns.USER: users[::-1]}).write_parquet(file)
    with raises_error(DataError, "prepared_data_changed", where=str(file)):
        PreparedFolder.open(path)
    file.unlink()
    with raises_error(DataError, "prepared_file_missing", figures=["users.parquet"]):
        PreparedFolder.open(path)


def test_a_folder_of_format_2_is_read(tmp_path: Path):
    path = write_prepared(tmp_path / "prepared")
    change_meta(path, lambda meta: meta.update(format_version=2))
    assert PreparedFolder.open(path).user_ids.texts is None


@pytest.mark.parametrize(
    ("scale", "count", "on", "off"),
    [
        (RatingScale(0.5, 5.0, 0.5), 10, 4.5, 4.25),
        (RatingScale(1, 10, 1), 10, 7, 0),
        (RatingScale(0, 1, 1), 2, 0, 0.5),
        (RatingScale(0, 1, 0.1), 11, 0.3, 0.35),
        (RatingScale(-10, 10, 0.25), 81, -9.75, -9.8),
    ],
)
def test_scales(scale: RatingScale, count: int, on: float, off: float):
    assert scale.is_valid
    assert len(scale.ratings()) == count
    assert scale.contains(on) and scale.contains(float(np.float32(on)))
    assert not scale.contains(off) and not scale.contains(float("nan"))
    assert all(map(scale.contains, scale.ratings()))
    assert scale.round_up(scale.max - scale.step / 2) == scale.max


@pytest.mark.parametrize(
    "scale",
    [
        RatingScale(5, 1, 1),
        RatingScale(1, 1, 1),
        RatingScale(1, 5, 0),
        RatingScale(1, 5, 3),
        RatingScale(0, 1e9, 0.5),
        RatingScale(0, float("inf"), 1),
    ],
)
def test_scales_that_are_none(scale: RatingScale):
    assert not scale.is_valid


def test_ratings_keep_their_digits():
    assert [HALF_STARS.number(rating) for rating in (4, 4.5, 0.25)] == ["4.0", "4.5", "0.25"]
    assert RatingScale(0, 1, 0.1).number(float(np.float32(0.1))) == "0.1"
    assert str(RatingScale(1, 10, 1)) == "1 to 10 in steps of 1"
    assert str(RatingScale(0.5, 10, 0.5)) == "0.5 to 10.0 in steps of 0.5"
