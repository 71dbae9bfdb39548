"""Prepared data of random ratings, against a plain Python statement of what must hold."""

import json
import random
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reeltune.data.folder import PreparedFolder
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.domain import Renderer
from reeltune.errors import DataError

from .editions import Rating, items, write_edition

ITEMS = 12
RATING = st.sampled_from([f"{half / 2}" for half in range(1, 11)])
# Few different times, so that many are equal.
TIMES = st.integers(1, 40)


@st.composite
def rating_lists(draw: st.DrawFn) -> list[Rating]:
    """Ratings of a few users in random file order; no user rates a film twice."""
    ratings = [
        Rating(user, 10 * item, draw(RATING), draw(TIMES))
        for user in draw(st.sets(st.integers(1, 50), min_size=1, max_size=5))
        for item in draw(st.sets(st.integers(1, ITEMS), min_size=1))
    ]
    return draw(st.permutations(ratings))


SPLITS = st.builds(
    SplitSettings,
    kind=st.sampled_from(["user", "time", "items", "users"]),
    val_fraction=st.sampled_from([0.0, 0.1, 0.25]),
    test_fraction=st.sampled_from([0.0, 0.2, 0.3]),
)


@st.composite
def prepared(draw: st.DrawFn) -> tuple[list[Rating], PrepareSettings]:
    """Random ratings and random settings for them."""
    history_len = draw(st.integers(1, 4))
    return draw(rating_lists()), PrepareSettings(
        Path("set by run"),
        history_len=history_len,
        min_history=draw(st.integers(0, history_len)),
        rating_threshold=draw(st.sampled_from([1.0, 3.5, 4.0])),
        split=draw(SPLITS),
        export=draw(st.sampled_from(["chat", "alpaca"])),
    )


def run(ratings: list[Rating], wanted: PrepareSettings, root: Path) -> PreparedFolder | None:
    """Prepare; None where the settings rightly find too little data."""
    changed = PrepareSettings(**{**wanted.__dict__, "output": root / "out"})
    try:
        prepare(write_edition(root / "in", ratings, items(ITEMS)), changed)
    except DataError as error:
        assert error.code in ("timelines_too_short", "empty_split")
        return None
    return PreparedFolder.open(root / "out")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(prepared())
def test_random_ratings_are_prepared_as_stated(case: tuple[list[Rating], PrepareSettings]) -> None:
    ratings, wanted = case
    with tempfile.TemporaryDirectory() as root:
        folder = run(ratings, wanted, Path(root))
        assume(folder is not None)
        no_event_lost(folder, ratings)
        counts_add_up(folder, wanted)
        every_example_sees_its_past_only(folder, wanted)
        splits_are_in_order(folder, wanted)
        exports_hold_their_split_alone(folder, ratings, wanted)


def no_event_lost(folder: PreparedFolder, ratings: list[Rating]) -> None:
    t = folder.timelines
    item_ids = [folder.items[row].item_id for row in t.item_idx]
    found = zip(t.user_id, item_ids, t.rating, t.timestamp, strict=True)
    in_order = sorted(ratings, key=lambda rating: (rating.user, rating.time, rating.item))
    expected = [(r.user, r.item, float(r.rating), r.time) for r in in_order]
    assert [tuple(map(float, row)) for row in found] == expected
    assert t.liked.tolist() == (t.rating >= folder.meta["settings"]["rating_threshold"]).tolist()


def counts_add_up(folder: PreparedFolder, wanted: PrepareSettings) -> None:
    counts = folder.meta["counts"]
    assert counts["ratings_in_source"] == counts["dropped"] + counts["events"]
    assert counts["events"] == counts["context"] + counts["examples"]
    assert counts["examples"] == counts["train"] + counts["validation"] + counts["test"]
    for split in ("train", "validation", "test"):
        assert len(folder.examples(split)) == counts[split]
    lengths = np.unique(folder.timelines.user_id, return_counts=True)[1]
    assert counts["users"] == len(lengths)
    if wanted.split.kind != "items":
        assert counts["examples"] == np.maximum(lengths - folder.min_history, 0).sum()
        assert counts["users_without_examples"] == (lengths <= folder.min_history).sum()


def every_example_sees_its_past_only(folder: PreparedFolder, wanted: PrepareSettings) -> None:
    t = folder.timelines
    for split in ("train", "validation", "test"):
        examples = folder.examples(split)
        for start, target in zip(examples.start, examples.target, strict=True):
            assert wanted.least_history <= target - start <= wanted.history_len
            assert set(t.user_id[start : target + 1]) == {t.user_id[target]}
            assert t.timestamp[start : target + 1].max() == t.timestamp[target]
            assert t.item_idx[target] not in t.item_idx[start:target]


def splits_are_in_order(folder: PreparedFolder, wanted: PrepareSettings) -> None:
    t = folder.timelines
    rank = {"context": 0, "train": 1, "validation": 2, "test": 3}
    if wanted.split.kind == "user":
        for user in np.unique(t.user_id):
            ranks = [rank[split] for split in t.split[t.user_id == user]]
            assert ranks == sorted(ranks)
            examples = sum(r > 0 for r in ranks)
            assert ranks.count(3) == int(examples * wanted.split.test_share)
            assert ranks.count(2) == int(examples * wanted.split.val_share)
        return
    if wanted.split.kind == "items":
        held_out_items_are_the_newest(folder, wanted.split)
        return
    if wanted.split.kind == "users":
        users_are_in_one_split(folder, wanted.split)
        return
    times = {split: t.timestamp[t.split == split] for split in rank}
    for earlier, later in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if len(times[earlier]) and len(times[later]):
            assert times[earlier].max() < times[later].min()
    examples = folder.meta["counts"]["examples"]
    assert len(times["test"]) >= int(examples * wanted.split.test_share)


def split_of_each(names: list[Any], split: SplitSettings) -> dict[Any, str]:
    """The split of things in order, by the shares: the last are for test."""
    test, validation = (int(len(names) * s) for s in (split.test_share, split.val_share))
    train = len(names) - test - validation
    splits = ["train"] * train + ["validation"] * validation + ["test"] * test
    return dict(zip(names, splits, strict=True))


def held_out_items_are_the_newest(folder: PreparedFolder, split: SplitSettings) -> None:
    t = folder.timelines
    first: dict[int, int] = {}
    for item, time in zip(t.item_idx.tolist(), t.timestamp.tolist(), strict=True):
        first[item] = min(time, first.get(item, time))
    own = split_of_each(sorted(first, key=lambda item: (first[item], item)), split)
    later = {"train": {"validation", "test"}, "validation": {"test"}, "test": set()}
    for event in range(len(t)):
        wanted = own[int(t.item_idx[event])]
        before = [own[item] for item in t.item_idx[event - t.position[event] : event].tolist()]
        early = len(before) < folder.min_history
        hidden = early or later[wanted].intersection(before)
        assert t.split[event] == ("context" if hidden else wanted)


def users_are_in_one_split(folder: PreparedFolder, split: SplitSettings) -> None:
    t = folder.timelines
    users = np.unique(t.user_id).tolist()
    found = {user: set(t.split[t.user_id == user].tolist()) - {"context"} for user in users}
    assert all(len(splits) <= 1 for splits in found.values())
    by_hash = sorted(users, key=lambda u: sha256(f"held-out users: {u}".encode()).digest())
    own = split_of_each(by_hash, split)
    assert all(splits <= {own[user]} for user, splits in found.items())


def exports_hold_their_split_alone(
    folder: PreparedFolder, ratings: list[Rating], wanted: PrepareSettings
) -> None:
    """Every example of a split once, in order, with its own past; and no other row."""
    titles = {row.item: row.title[:-7] for row in items(ITEMS)}
    years = {row.item: int(row.title[-5:-1]) for row in items(ITEMS)}
    renderer, by_id = (
        Renderer(folder.prompt_settings),
        {item.item_id: item for item in folder.items},
    )
    texts: dict[str, list[tuple[str, str]]] = {"train": [], "validation": []}
    facts = []
    in_order = sorted(ratings, key=lambda rating: (rating.user, rating.time, rating.item))
    for event, rating in enumerate(in_order):
        split = folder.timelines.split[event]
        before = [r for r in in_order[:event] if r.user == rating.user][-wanted.history_len :]
        answer = "Yes" if float(rating.rating) >= wanted.rating_threshold else "No"
        if split in texts:
            history = [(float(r.rating), by_id[r.item]) for r in before]
            (text,) = renderer.turns(history, by_id[rating.item])
            texts[split].append((text, answer))
        elif split == "test":
            facts.append(
                {
                    "user_id": rating.user,
                    "item_id": rating.item,
                    "title": titles[rating.item],
                    "year": years[rating.item],
                    "rating": float(rating.rating),
                    "timestamp": rating.time,
                    "label": answer,
                    "history": {
                        "item_id": [r.item for r in before],
                        "title": [titles[r.item] for r in before],
                        "year": [years[r.item] for r in before],
                        "rating": [float(r.rating) for r in before],
                        "timestamp": [r.time for r in before],
                    },
                }
            )
    for name, split in (("train.json", "train"), ("eval.json", "validation")):
        rows = json.loads((folder.path / name).read_text(encoding="utf-8"))
        assert [text_and_answer(row) for row in rows] == texts[split]
    lines = (folder.path / "test_raw.jsonl").read_bytes().decode().splitlines()
    assert [json.loads(line) for line in lines] == facts


def text_and_answer(row: dict[str, Any]) -> tuple[str, str]:
    if "messages" in row:
        user, assistant = row["messages"]
        return user["content"], assistant["content"]
    return row["instruction"] + row["input"], row["output"]


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(rating_lists(), st.randoms(use_true_random=False))
def test_same_ratings_in_any_file_order_give_the_same_tables(
    ratings: list[Rating], shuffler: random.Random
) -> None:
    shuffled = list(ratings)
    shuffler.shuffle(shuffled)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        wanted = PrepareSettings(
            Path(), history_len=1, split=SplitSettings(val_fraction=0.0, test_fraction=0.0)
        )
        assume(run(ratings, wanted, Path(first)) is not None)
        run(shuffled, wanted, Path(second))
        for name in ("timelines.parquet", "items.parquet", "train.json"):
            assert (Path(first) / "out" / name).read_bytes() == (
                Path(second) / "out" / name
            ).read_bytes()


def test_equal_input_gives_equal_bytes(tmp_path) -> None:
    rng = random.Random(0)
    ratings = [
        Rating(user, 10 * item, "4.5" if rng.random() < 0.5 else "2", rng.randrange(1, 1000))
        for user in range(1, 30)
        for item in rng.sample(range(1, ITEMS + 1), 10)
    ]
    source = write_edition(tmp_path / "in", ratings, items(ITEMS))
    split = SplitSettings(val_fraction=0.2, test_fraction=0.2)
    for name in ("one", "two"):
        prepare(source, PrepareSettings(tmp_path / name, history_len=3, split=split))
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [
        *("eval.json", "items.parquet", "meta.json", "test_raw.jsonl", "timelines.parquet"),
        "train.json",
    ]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert str(tmp_path) not in (tmp_path / "one" / "meta.json").read_text()


@pytest.mark.parametrize("events", [20, 21, 39, 40, 100])
def test_shares_are_exact_where_floats_are_not(tmp_path, events) -> None:
    """20 * 0.05 and 100 * 0.29 are whole numbers, which floats miss."""
    rows = [Rating(1, 10 * n, "4", n) for n in range(1, events + 2)]
    source = write_edition(tmp_path / "in", rows, items(events + 1))
    split = SplitSettings(val_fraction=0.05, test_fraction=0.29)
    prepare(source, PrepareSettings(tmp_path / "out", history_len=1, split=split, export=None))
    table = pl.read_parquet(tmp_path / "out" / "timelines.parquet")
    assert table["split"].to_list().count("validation") == events * 5 // 100
    assert table["split"].to_list().count("test") == events * 29 // 100
