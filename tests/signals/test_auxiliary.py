"""Ratings of other data join the signals: of matched items, by other people, of training alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reeltune
from reeltune.config import load_config
from reeltune.data.folder import AUXILIARY_FILE, PreparedFolder
from reeltune.data.invariants import EventTable
from reeltune.data.items import split_year
from reeltune.data.timelines import Timelines
from reeltune.domain import SIGNALS, Item, PromptSettings
from reeltune.errors import DataError
from reeltune.prompts.rows import prompt_settings
from reeltune.signals.auxiliary import match_items, possible_users
from reeltune.signals.folder import with_signals
from reeltune.signals.item_statistics import FOLDS, statistics_without_folds
from tests.data.editions import items, timeline, write_edition
from tests.errors import raises_error
from tests.leakage.plant import DIVIDE
from tests.prepared_data import with_auxiliary, write_prepared
from tests.timelines import timelines_of

KINDS = tuple(SIGNALS)


def films(*names: str) -> list[Item]:
    return [Item(int(key), *split_year(name), ()) for key, name in (n.split("#") for n in names)]


def test_titles_and_years_are_matched_unless_ambiguous():
    here = films("1#Heat (1995)", "2#Seven (a.k.a. Se7en) (1995)", "3#Emma (1996)")
    here += films("4#Chasing Amy (1997)", "5#Godfather, The (1972)", "6#... (1999)")
    there = films("9#Seven (Se7en) (1995)", "3#The Godfather (1972)", "2#Chasing Amy (1997)")
    there += films("8#Chasing Amy (1997)", "1#Heat (1986)", "7#Émma (1996)", "6#... (1999)")
    index, by, ambiguous = match_items(here, there)
    assert (index.tolist(), by, ambiguous) == ([1, 4, -1, -1, -1, 2, -1], "title and year", 2)
    index, _, ambiguous = match_items([*here, *films("7#Emma (Miramax) (1996)")], there)
    assert (index.tolist(), ambiguous) == ([1, 4, -1, -1, -1, -1, -1], 3)
    # Equal ids are equal items if at least 9 of 10 titles agree.
    here, there = (films(*(f"{n}#Film {n}" for n in range(*ends))) for ends in ((20,), (2, 30)))
    index, by, _ = match_items(here, [*films("1#Renamed"), *there])
    assert (index.tolist(), by) == ([*range(1, 20), *[-1] * 10], "id")
    assert match_items(here, [*films("1#Renamed"), *there[:8]])[1] == "title and year"


def test_users_who_could_be_the_same_person():
    eight = list(range(8))
    later = [time + 100 for time in eight]

    def of_users(*users: tuple[list[int], list[float], list[int]]) -> Timelines:
        rows, ratings, times = (np.concatenate(part) for part in zip(*users, strict=True))
        number = np.repeat(range(len(users)), [len(user[0]) for user in users])
        return replace(timelines_of(rows, ratings, number), timestamp=times)

    own = of_users((eight, [4.0] * 8, eight), (list(range(20, 28)), [3.0] * 8, [50] * 8))
    users = {
        "three equal in time": (eight, [4.0] * 3 + [1.0] * 5, eight),
        "six equal of eight": (eight, [4.0] * 6 + [1.0] * 2, later),
        "five equal of eight": (eight, [4.0] * 5 + [1.0] * 3, later),
        "a part": (eight[:5], [4.0] * 5, later[:5]),
        "too few": ([8, 9, 10, 11], [4.0] * 4, later[:4]),
        "all and more": ([*eight, *range(28, 40)], [4.0] * 20, [7] * 20),
    }
    known = of_users(*users.values())
    possible = possible_users(known, own)
    found = {name for user, name in enumerate(users) if possible[known.user_id == user].all()}
    assert found == {
        "three equal in time",
        "six equal of eight",
        "a part",
        "too few",
        "all and more",
    }


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_prepared(tmp_path / "small", users=8, items=60)


@pytest.mark.parametrize("split", DIVIDE)
def test_training_ratings_of_others_are_used_and_nothing_else(
    small: Path, larger: PreparedFolder, split: str
):
    DIVIDE[split](small)
    folder = with_auxiliary(small, larger)
    table, used, known = EventTable.read(folder), folder.auxiliary, larger.ratings
    learned = known.split.is_in("train", "context") & (known.user_id > 71)  # 1, 11, ... 71 are here
    learned &= ~np.isin(known.item_idx, np.unique(table.timelines.item_idx[table.item_rank > 0]))
    if split == "time":
        learned &= known.timestamp < folder.time_cuts[0]
    learned &= (np.bincount(known.user_id[learned], minlength=292) >= 5)[known.user_id]
    assert used is not None
    assert 0 < learned.sum() == len(used)
    for name in ("item_idx", "rating", "timestamp", "liked"):
        assert np.array_equal(vars(used)[name], vars(known)[name][learned])
    counts = folder.meta["auxiliary"]["counts"]
    gone = np.setdiff1d(known.user_id, known.user_id[learned])
    assert counts["left out, possible users of these data"] == len(gone) >= 8
    assert sum(n for name, n in counts.items() if "ratings" in name) == len(known)
    # Held-out ratings there change nothing.
    held_out = known.split.is_in("validation", "test")
    other = replace(known, rating=np.where(held_out, 5.5, known.rating))
    vars(larger)["ratings"] = replace(other, item_idx=np.where(held_out, 0, other.item_idx))
    assert with_auxiliary(small, larger).meta["files"] == folder.meta["files"]


def test_auxiliary_ratings_count_in_every_fold():
    own = timelines_of([0, 0, 1], [5, 3, 2], [0, 1, 1])
    both = own.followed_by(timelines_of([0, 1, 1], [4, 1, 1], [2, 2, 3]))
    statistics = statistics_without_folds(both, np.arange(6), 2, np.array([0, 1, 1, *[FOLDS] * 3]))
    assert statistics.used[[0, 1, 2, FOLDS]].tolist() == [[2, 3], [2, 2], [3, 3], [3, 3]]
    assert statistics.count[1] == pytest.approx([2 * 6 / 4, 2 * 6 / 4])


def test_a_moved_folder_has_its_signals_and_needs_the_other_data_no_more(
    tmp_path: Path, small: Path, larger: PreparedFolder
):
    def codes_of(folder: PreparedFolder) -> np.ndarray:
        return np.array(with_signals(folder, KINDS, tmp_path / "cache").timelines.context)

    plain, shown = PreparedFolder.open(small), load_config(None, [f"prompt.signals={list(KINDS)}"])
    assert "auxiliary" not in prompt_settings(plain, shown.prompt).to_dict()
    before, codes = codes_of(plain), codes_of(with_auxiliary(small, larger))
    assert (before != codes).any(axis=0)[[KINDS.index("item"), KINDS.index("expected")]].all()
    shutil.rmtree(larger.path)
    moved = PreparedFolder.open(small.rename(tmp_path / "moved"))
    assert np.array_equal(codes_of(moved), codes)
    settings = prompt_settings(moved, shown.prompt)
    assert settings.auxiliary == moved.meta["files"][AUXILIARY_FILE]["sha256"]
    assert PromptSettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    "change",
    [{"scale_max": 10.0}, {"scale_min": 0.3}, {"threshold": 3.5}, {"times": "order of rows"}],
)
def test_unusable_data_are_refused(small: Path, larger: PreparedFolder, change: dict):
    DIVIDE["time"](small)
    larger.meta.setdefault("tables" if "times" in change else "prompt", {}).update(change)
    with raises_error(DataError, "unusable_signals_from"):
        with_auxiliary(small, larger)


@pytest.mark.slow
def test_prepare_keeps_the_ratings_and_says_how_many(tmp_path: Path):
    shares, messages = {"val_fraction": 0, "test_fraction": 0.1}, []
    here = [row for user in range(1, 5) for row in timeline(user, 40)]
    there = [row for user in range(1, 12) for row in timeline(user, 30, start=2_000_000 * user)]
    there = [row._replace(rating="5") if row.user < 11 else row for row in there]
    edition = write_edition(tmp_path / "b", there, items(50))
    first = reeltune.prepare(edition, tmp_path / "more", **shares)
    source = write_edition(tmp_path / "a", here, items(40))
    options = {"signals_from": first.path, "notify": messages.append, **shares}
    for _ in range(2):  # the second replaces the first
        reeltune.prepare(source, tmp_path / "out", **options)
    auxiliary = PreparedFolder.open(tmp_path / "out").auxiliary
    assert len(auxiliary or ()) == 10 * 29  # one of 15 examples is a test row
    (line,) = {message for message in messages if message.startswith("Signals from b: ")}
    assert "items matched by id: 40; ambiguous items: 0; items not here: 10" in line
    assert "ratings used: 290; users of these: 10; left out, held-out ratings: 11;" in line
    assert line.endswith("left out, possible users of these data: 1")
