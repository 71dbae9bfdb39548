"""Signals depend on the past alone, and are the same for a timeline and for a query."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.columns import TEST, TRAIN
from reeltune.data.history import History
from reeltune.data.timelines import Timelines
from reeltune.domain import (
    PROMPT_VERSION,
    SIGNALS,
    Item,
    PromptSettings,
)
from reeltune.domain.context_lines import COUNTS
from reeltune.signals.item_statistics import assign_folds
from reeltune.signals.source import SignalSource
from tests.timelines import timelines_of

KINDS = tuple(SIGNALS)
ITEMS = [
    Item(row, f"Film {row}", 1990 + row, ("Drama",) if row % 3 else ("Comedy", "Drama"))
    for row in range(8)
]


def drawn(seed: int, users: int = 12, held_out: int = 2) -> Timelines:
    """Users who rate most films in random order; the last events of each are held out."""
    random = np.random.default_rng(seed)
    rows, rating, user, split = [], [], [], []
    for one in range(users):
        items = random.permutation(len(ITEMS))[: random.integers(4, len(ITEMS) + 1)]
        rows += items.tolist()
        rating += (random.integers(1, 11, len(items)) / 2).tolist()
        user += [one] * len(items)
        split += [TRAIN] * (len(items) - held_out) + [TEST] * held_out
    return timelines_of(rows, rating, user, split)


def source_of(known: Timelines) -> SignalSource:
    return SignalSource(known, ITEMS, PromptSettings(signals=KINDS))


GOLDEN = {
    "5": [
        [55, 12, 12, 57],
        [55, 34, 15, 68],
        [56, 56, 16, 85],
        [52, 57, 17, 58],
        [54, 55, 13, 34],
        [52, 75, 11, 16],
        [34, 76, 13, 60],
        [34, 76, 14, 68],
        [56, 14, 14, 60],
        [58, 36, 16, 83],
        [53, 55, 12, 31],
        [56, 53, 9, 36],
        [55, 52, 8, 18],
        [58, 72, 7, 27],
        [36, 73, 9, 36],
        [36, 74, 11, 46],
        [52, 10, 10, 39],
        [49, 33, 13, 24],
        [52, 55, 15, 57],
        [55, 56, 16, 81],
        [49, 56, 16, 51],
        [10, 78, 17, 73],
        [55, 78, 17, 86],
        [10, 79, 17, 74],
        [52, 79, 17, 83],
        [49, 79, 18, 64],
        [52, 99, 15, 64],
        [55, 98, 14, 77],
        [49, 98, 12, 31],
        [10, 97, 11, 46],
        [55, 96, 10, 62],
        [10, 96, 9, 34],
    ]
}
"""Codes of the events below, by prompt version; a column per kind."""


def test_signals_are_those_of_the_prompt_version():
    """Adapters and caches know their prompt version: other signals under it would be taken."""
    rows = [0, 3, 6, 1, 4, 2, 5, 7, 3, 0, 1, 2, 4, 6, 5, 7, *range(8), *range(8)]
    rating = [5, 4.5, 4, 1, 2, 4, 5, 3, 4, 3.5, 2, 0.5, 1, 5, 4.5, 4, *[4.5] * 9, *[2] * 7]
    user = [0] * 8 + [1] * 8 + [2] * 16
    split = [*([TRAIN] * 6 + [TEST] * 2) * 2, *[TRAIN] * 12, *[TEST] * 4]
    codes = source_of(timelines_of(rows, rating, user, split)).of_events()
    assert codes.tolist() == GOLDEN[PROMPT_VERSION]


def codes_of(source: SignalSource, history: History, candidates: np.ndarray) -> np.ndarray:
    """The signals on candidates after a history."""
    return source.of_query(history, candidates, 0)[1]


def with_ratings(known: Timelines, event: int, rating: float) -> Timelines:
    changed = known.rating.copy()
    changed[event] = rating
    return replace(known, rating=changed, liked=changed >= 4.0)


@pytest.mark.slow
@given(st.integers(0, 50), st.integers(0, 10_000), st.sampled_from([0.5, 5.0]))
def test_signals_of_an_event_do_not_depend_on_its_own_rating(seed: int, place: int, rating: float):
    known = drawn(seed)
    event = place % len(known)
    before = source_of(known).of_events()
    after = source_of(with_ratings(known, event, rating)).of_events()
    assert np.array_equal(before[event], after[event])


@pytest.mark.slow
@given(st.integers(0, 50), st.integers(0, 10_000))
def test_signals_do_not_depend_on_later_events_of_the_user(seed: int, place: int):
    known = drawn(seed)
    event = place % (len(known) - 1)
    if known.user_id[event] != known.user_id[event + 1]:
        return
    before = source_of(known).of_events()
    after = source_of(with_ratings(known, event + 1, 0.5)).of_events()
    assert np.array_equal(before[event], after[event])


@pytest.mark.slow
@given(st.integers(0, 50), st.integers(0, 10_000))
def test_what_is_held_out_tells_nothing_about_other_users(seed: int, place: int):
    known = drawn(seed)
    held_out = np.flatnonzero(known.split == TEST)
    event = int(held_out[place % len(held_out)])
    others = known.user_id != known.user_id[event]
    before = source_of(known).of_events()
    after = source_of(with_ratings(known, event, 0.5)).of_events()
    assert np.array_equal(before[others], after[others])


@pytest.mark.slow
@given(st.integers(0, 50), st.lists(st.integers(0, 10_000), max_size=5))
def test_signals_of_some_events_are_those_among_all(seed: int, places: list[int]):
    known = drawn(seed)
    events = np.array([place % len(known) for place in places], dtype=np.int64)
    source = source_of(known)
    assert np.array_equal(source.of_events(events), source.of_events()[events])


@pytest.mark.slow
@given(st.integers(0, 50))
def test_a_candidate_has_the_signals_of_the_held_out_event(seed: int):
    known = drawn(seed)
    source = source_of(known)
    whole = source.of_events()
    for event in np.flatnonzero(known.split == TEST):
        first = int(event - known.position[event])
        history = History.from_timelines(known, range(first, int(event)))
        codes = codes_of(source, history, known.item_idx[event : event + 1].astype(np.int64))
        assert np.array_equal(codes[0], whole[event])


@pytest.mark.slow
@given(st.integers(0, 50), st.integers(1, 9))
def test_events_of_a_history_have_the_signals_they_had_as_candidates(seed: int, shown: int):
    source = source_of(drawn(seed))
    random = np.random.default_rng(seed)
    history = History.of(
        random.permutation(8)[:6].tolist(), (random.integers(1, 11, 6) / 2).tolist()
    )
    last, _ = source.of_query(history, np.array([0]), shown)
    assert len(last) == min(shown, 6)
    assert last.context is not None
    for back in range(1, len(last) + 1):
        place = 6 - back
        before = History(history.item_idx[:place], history.rating[:place])
        codes = codes_of(source, before, history.item_idx[place : place + 1])
        assert np.array_equal(last.context[-back], codes[0])


def test_codes_that_a_history_already_has_are_kept():
    source = source_of(drawn(1))
    codes = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=np.int16)
    history = History(np.array([0, 1]), np.array([4.0, 1.0], dtype=np.float32), codes)
    kept, _ = source.of_query(history, np.array([2]), 1)
    assert kept.context is not None
    assert kept.context.tolist() == [[5, 6, 7, 8]]


def test_lines_state_the_features_by_hand():
    # Eight of ten users like item 0; the last user has liked one item of four. Users in their fold
    # do not count.
    rows = [0] * 10 + [1, 2, 3, 4, 0]
    rating = [5.0] * 8 + [1.0] * 2 + [5.0, 1.0, 1.0, 1.0, 5.0]
    users = [*range(10), 10, 10, 10, 10, 10]
    known = timelines_of(rows, rating, users, [TRAIN] * 14 + [TEST])
    part = assign_folds(known, 0)
    others = [user for user in range(10) if part[user] != part[-1]]
    likes = sum(rating[user] == 5.0 for user in others)
    any_like = (likes + 0.5) / (len(others) + 1)
    item = (likes + 5 * any_like) / (len(others) + 5)
    lines = _lines(known, 14)
    assert lines["item"] == f"Others {round(item * 20) * 5}% of 10\n"
    assert lines["user"] == f"User {round((1 + 5 * any_like) / 9 * 20) * 5}% of 2\n"
    assert int(lines["recent"].split()[1].rstrip("%\n")) < round(any_like * 100)


def test_items_that_others_rate_alike_change_the_expected_target():
    # Everybody who liked film 0 liked film 1, and the other way round; nobody knows film 5.
    rows, rating, users = [], [], []
    for user in range(40):
        own = 5.0 if user % 2 else 1.0
        rows += [0, 1, 2]
        rating += [own, own, 3.0]
        users += [user] * 3
    known = timelines_of(rows, rating, users)
    source = source_of(known)
    column = KINDS.index("expected")
    candidate = np.array([1])
    fond = codes_of(source, History.of([2, 0], [3.0, 5.0]), candidate)[0, column]
    cold = codes_of(source, History.of([2, 0], [3.0, 1.0]), candidate)[0, column]
    unknown = [
        codes_of(source, History.of([2, 0], [3.0, given]), np.array([5]))[0, column]
        for given in (5.0, 1.0)
    ]
    assert fond - cold > unknown[0] - unknown[1] > 0


def test_progress_is_shown_for_many_events(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    known = drawn(0)
    few = source_of(known).of_events()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("reeltune.signals.source._SHOWN_FROM", len(known))
    assert np.array_equal(source_of(known).of_events(), few)
    *_, last = capsys.readouterr().err.splitlines()
    assert "69/69 ratings" in last


def test_every_entry_has_words():
    known = drawn(3)
    source = source_of(known)
    codes = source.of_events()
    for column, kind in enumerate(SIGNALS.values()):
        assert 0 <= codes[:, column].min() <= codes[:, column].max() < len(kind.lines)
    assert COUNTS[:5] == (0, 1, 2, 5, 10)


def _lines(known: Timelines, event: int) -> dict[str, str]:
    codes = source_of(known).of_events()[event]
    return {
        name: kind.lines[code] for (name, kind), code in zip(SIGNALS.items(), codes, strict=True)
    }
