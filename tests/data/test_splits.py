"""Splits worked out by hand."""

import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.errors import DataError
from tests.errors import raises_error

from .editions import Rating, items, read_timelines, timeline, write_edition


@pytest.fixture
def splits(tmp_path):
    """Prepare ratings and return the split of each event, users one after another."""

    def run(ratings: list[Rating], split: SplitSettings, **changes) -> str:
        source = write_edition(tmp_path / "in", ratings, items(30))
        prepare(source, PrepareSettings(tmp_path / "out", split=split, export=None, **changes))
        return "".join(name[0] for name in read_timelines(tmp_path / "out")["split"].to_list())

    return run


def by_time(val_from: int, test_from: int) -> SplitSettings:
    return SplitSettings(kind="time", val_from=val_from, test_from=test_from)


def test_user_split_cuts_the_end_of_each_timeline(splits) -> None:
    split = SplitSettings(val_fraction=0.2, test_fraction=0.3)
    # t is train or test: test rows are those after the v. 10 examples, then 5, then none.
    ratings = [*timeline(1, 12), *timeline(2, 7), *timeline(3, 2)]
    assert splits(ratings, split, history_len=2) == "cctttttvvtttcctttvtcc"


def test_min_history_makes_examples_of_earlier_events(splits) -> None:
    split = SplitSettings(val_fraction=0.0, test_fraction=0.5)
    assert splits(timeline(1, 5), split, history_len=4, min_history=1) == "ctttt"


def test_without_a_least_history_every_event_is_an_example(splits) -> None:
    split = SplitSettings(val_fraction=0.0, test_fraction=0.5)
    ratings = [*timeline(1, 1), *timeline(2, 2), *timeline(3, 5)]
    assert splits(ratings, split, history_len=4, min_history=0) == "t" * 8


def test_time_split_cuts_everybody_at_the_same_second(splits) -> None:
    ratings = [
        *(Rating(1, 10 * n, "4", time) for n, time in enumerate((1, 5, 10, 15, 20), start=1)),
        *(Rating(2, 10 * n, "4", time) for n, time in enumerate((14, 19, 20, 21), start=1)),
    ]
    # With one event of context each; times 5 | 10, 15, 19 | 20, 20, 21 of the examples.
    assert splits(ratings, by_time(10, 20), history_len=1) == "ctvvtcvtt"


def test_time_cuts_from_shares_keep_equal_times_together(splits, tmp_path) -> None:
    times = (1, 2, 3, 4, 5, 6, 6, 6, 9, 9, 9)
    ratings = [Rating(1, 10 * n, "4", time) for n, time in enumerate(times, start=1)]
    split = SplitSettings(kind="time", val_fraction=0.2, test_fraction=0.2)
    # 10 examples, 2 to test: the cut falls on a 9, so all three 9s test; then on a 6.
    assert splits(ratings, split, history_len=1) == "cttttvvvttt"


def test_cuts_are_in_meta_as_seconds_and_iso(tmp_path) -> None:
    source = write_edition(tmp_path / "in", timeline(1, 20, start=0), items(30))
    report = prepare(source, PrepareSettings(tmp_path / "out", history_len=1, split=by_time(8, 16)))
    assert report.meta["settings"]["val_from"] == {
        "seconds": 8,
        "iso": "1970-01-01T00:00:08+00:00",
    }
    assert report.meta["settings"]["test_from"]["seconds"] == 16
    assert report.meta["settings"]["val_fraction"] is None
    assert report.meta["counts"]["train"] == 6  # seconds 2 to 7


ITEMS = SplitSettings(kind="items", val_fraction=0.2, test_fraction=0.2)


def ratings_of(user: int, *events: tuple[int, int]) -> list[Rating]:
    """Ratings by one user of films, each with its second."""
    return [Rating(user, 10 * item, "4" if item % 2 else "3", time) for item, time in events]


def test_the_newest_items_are_held_out_with_all_their_ratings(splits, tmp_path) -> None:
    # Films 1 to 5 are first rated in seconds 1, 2, 3, 4, 4: film 4 is for validation, 5 for test.
    ratings = [
        *ratings_of(1, (1, 1), (2, 2), (3, 3), (4, 4), (5, 9)),
        *ratings_of(2, (2, 3), (5, 4), (1, 5), (4, 6), (3, 7)),
        *ratings_of(3, (4, 5), (1, 6), (2, 7)),
    ]
    # After film 5 nothing but test rows: user 2 has none. After film 4 no training rows.
    assert splits(ratings, ITEMS, history_len=1) == "cttvtctcccccc"
    settings = PreparedFolder.open(tmp_path / "out").meta["settings"]
    assert (settings["val_fraction"], settings["test_fraction"]) == (0.2, 0.2)
    assert [settings[name]["seconds"] for name in ("val_from", "test_from")] == [4, 4]


def test_items_of_one_second_are_ordered_by_id(splits) -> None:
    split = SplitSettings(kind="items", val_fraction=0.0, test_fraction=0.5)
    ratings = [*ratings_of(1, (1, 5), (2, 5), (3, 5), (4, 5)), *ratings_of(2, (1, 6), (4, 7))]
    assert splits(ratings, split, history_len=1) == "ctttct"


def test_users_are_held_out_whole(splits) -> None:
    split = SplitSettings(kind="users", val_fraction=0.25, test_fraction=0.25)
    ratings = [rating for user in range(1, 10) for rating in timeline(user, 4)]
    found = splits(ratings, split, history_len=2)
    by_user = [found[i : i + 4] for i in range(0, len(found), 4)]
    assert sorted(by_user) == [*["cctt"] * 7, *["ccvv"] * 2]  # t is train or test
    # The same users, whatever else is in the data.
    assert splits([*ratings, *timeline(99, 2)], split, history_len=2) == found + "cc"


@pytest.mark.parametrize(
    ("split", "figures"),
    [
        (by_time(50, 60), ["no validation and no test", "--val-from"]),
        (by_time(1, 10), ["no train"]),
        (by_time(5, 50), ["1970-01-01T00:00:01", "--test-from"]),
        (SplitSettings(val_fraction=0.05, test_fraction=0.2), ["no validation", "--val-fraction"]),
        (
            SplitSettings(kind="time", val_fraction=0.01, test_fraction=0.2),
            ["no validation", "--val-fraction"],
        ),
        (
            SplitSettings(kind="items", val_fraction=0.04, test_fraction=0.2),
            ["no validation rows: no item", "--val-fraction"],
        ),
        (
            SplitSettings(kind="users", val_fraction=0.0, test_fraction=0.4),
            ["no test rows: no user", "--test-fraction"],
        ),
    ],
)
def test_empty_splits_are_refused(splits, split, figures) -> None:
    with raises_error(DataError, "empty_split", figures=figures):
        splits(timeline(1, 20, start=0), split, history_len=1)


def test_a_share_of_zero_asks_for_no_rows(splits) -> None:
    for kind in ("user", "time", "items", "users"):
        split = SplitSettings(kind=kind, val_fraction=0.0, test_fraction=0.0)
        assert splits(timeline(1, 5), split, history_len=1) == "ctttt"
