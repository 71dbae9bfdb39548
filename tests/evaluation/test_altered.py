"""Each alteration changes what it says and nothing else, as one can read in the prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.asking.subject import Subject, load_subject
from reeltune.data.columns import TEST
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form, Item
from reeltune.evaluation.altered import (
    Asking,
    as_prepared,
    context_shuffled,
    history_of_another,
    history_shuffled,
    partners,
    rating_hidden,
    titles_as_ids,
)
from reeltune.seeds import stream
from tests.helpers import write_prepared
from tests.runs import tiny_config

FORMS: tuple[Form, ...] = ("window", "interview")

Told = tuple[list[tuple[float, Item]], Item]
"""What a row shows: stars and films of its history, and its candidate."""


@pytest.fixture(scope="module", params=FORMS)
def subject(request: pytest.FixtureRequest, tiny_qwen3, tmp_path_factory) -> Subject:
    """A base model asked in either form, about users with histories of different length."""
    work = tmp_path_factory.mktemp("altered")
    path = write_prepared(work / "prepared", items=30, history_len=6, min_history=2)
    config = tiny_config(tiny_qwen3, path, work, prompt__form=request.param, prompt__genres=True)
    return load_subject(config, None)


@pytest.fixture(scope="module")
def asking(subject: Subject) -> Asking:
    folder = subject.folder
    events = np.concatenate([folder.examples(split).target for split in ("train", TEST)])
    return as_prepared(subject, np.sort(events))


def read(folder: PreparedFolder, asking: Asking) -> list[Told]:
    """What each row shows, one event at a time; the events' ``item_idx`` is the folder's."""
    timelines = asking.timelines
    said = [
        (float(rating), folder.items[item])
        for rating, item in zip(timelines.rating, timelines.item_idx, strict=True)
    ]
    bounds = zip(asking.examples.start.tolist(), asking.examples.target.tolist(), strict=True)
    return [(said[start:target], said[target][1]) for start, target in bounds]


def prepared_rows(subject: Subject, asking: Asking) -> list[Told]:
    """What the rows show as they were prepared, read from the folder itself."""
    timelines, items = subject.folder.timelines, subject.folder.items
    place = {
        (int(user), int(item)): event
        for event, (user, item) in enumerate(
            zip(timelines.user_id, timelines.item_idx, strict=True)
        )
    }
    found = []
    for last in asking.examples.target:
        event = place[int(asking.timelines.user_id[last]), int(asking.timelines.item_idx[last])]
        shown = range(event - min(int(timelines.position[event]), 6), event)
        history = [
            (float(timelines.rating[past]), items[timelines.item_idx[past]]) for past in shown
        ]
        found.append((history, items[timelines.item_idx[event]]))
    return found


def texts(asking: Asking) -> list[str]:
    return list(asking.tokens.texts(asking.timelines, asking.examples))


def rendered(asking: Asking, rows: list[Told]) -> list[str]:
    """The prompts of rows, rendered whole."""
    tokens = asking.tokens
    return [tokens.frame.wrap(*tokens.renderer.turns(*row)) for row in rows]


def test_unaltered_rows_are_asked_as_prepared(subject, asking):
    told = prepared_rows(subject, asking)
    assert read(subject.folder, asking) == told
    assert texts(asking) == rendered(asking, told)
    assert {len(history) for history, _ in told} == {2, 3, 4, 5, 6}


def test_shuffling_changes_the_order_of_the_history_alone(subject, asking):
    before = prepared_rows(subject, asking)
    shuffled = history_shuffled(asking, stream(0, "x"))
    after = read(subject.folder, shuffled)
    assert texts(shuffled) == rendered(asking, after)
    moved = 0
    for (history, candidate), (other, asked) in zip(before, after, strict=True):
        assert candidate == asked
        assert sorted(history) == sorted(other)
        moved += history != other
    assert moved > 0.7 * len(before)  # two films keep their order half of the time


def test_hiding_the_stars_leaves_the_films(subject, asking):
    hidden = texts(rating_hidden(asking, stream(0, "x")))
    told = [
        ([(3.0, item) for _, item in history], candidate)
        for history, candidate in prepared_rows(subject, asking)
    ]
    assert hidden == rendered(asking, told)
    assert hidden != texts(asking)
    assert all("4.5" not in text for text in hidden)


@pytest.mark.parametrize(
    ("low", "high", "middle"), [(0.5, 5.0, 3.0), (1.0, 5.0, 3.0), (1.0, 4.0, 3.0)]
)
def test_the_middle_of_a_scale_is_a_rating(asking, monkeypatch, low, high, middle):
    settings = asking.tokens.renderer.settings
    changed = type(settings)(**{**settings.to_dict(), "scale_min": low, "scale_max": high})
    monkeypatch.setattr(asking.tokens.renderer, "settings", changed)
    hidden = rating_hidden(asking, stream(0, "x"))
    assert set(hidden.timelines.rating[~asking.is_candidate].tolist()) == {middle}
    kept = hidden.timelines.rating[asking.is_candidate].tolist()
    assert kept == asking.timelines.rating[asking.is_candidate].tolist()


def test_shuffled_evidence_comes_from_other_rows_and_changes_nothing_else(asking):
    random = np.random.default_rng(0)
    codes = random.integers(0, 20, (len(asking.timelines), 1)).astype(np.int16)
    telling = replace(asking, timelines=replace(asking.timelines, context=codes))
    shuffled = context_shuffled(telling, stream(0, "x"))
    assert shuffled is not None
    found = shuffled.timelines.context
    assert found is not None
    for some in (asking.is_candidate, ~asking.is_candidate):
        assert sorted(found[some].ravel()) == sorted(codes[some].ravel())
    assert (found != codes).mean() > 0.8
    assert vars(replace(shuffled, timelines=asking.timelines)) == vars(asking)
    kept = replace(shuffled.timelines, context=None)
    for name, values in vars(asking.timelines).items():
        assert np.array_equal(getattr(kept, name), values)


def test_without_evidence_none_is_shuffled(asking):
    assert context_shuffled(asking, stream(0, "x")) is None


def test_ids_replace_all_that_is_said_of_a_film(subject, asking):
    def numbered(item: Item) -> Item:
        return Item(item.item_id, f"Film {item.item_id}", None, ())

    told = [
        ([(rating, numbered(item)) for rating, item in history], numbered(candidate))
        for history, candidate in prepared_rows(subject, asking)
    ]
    assert texts(titles_as_ids(asking, stream(0, "x"))) == rendered(asking, told)


def test_anothers_history_is_all_that_is_exchanged(subject, asking):
    exchanged = history_of_another(asking, stream(0, "x"))
    assert exchanged is not None
    before, after = prepared_rows(subject, asking), read(subject.folder, exchanged)
    assert texts(exchanged) == rendered(asking, after)
    user = asking.timelines.user_id[asking.examples.target].tolist()
    whose = exchanged.timelines.user_id
    left_out, used = 0, []
    for row, (history, candidate) in enumerate(after):
        assert candidate == before[row][1]
        start, stop = exchanged.examples.start[row], exchanged.examples.target[row]
        (other,) = set(whose[start:stop].tolist())
        assert other != user[row]
        # It is the history of a row of that user, but for the candidate.
        sources = [
            source
            for source, (full, _) in enumerate(before)
            if user[source] == other and history == [one for one in full if one[1] != candidate]
        ]
        assert sources
        used.append(sources)
        left_out += all(len(before[source][0]) > len(history) for source in sources)
    assert left_out > 0
    assert len({tuple(sources) for sources in used}) > 0.9 * len(after)  # not one for all


@pytest.mark.parametrize(
    "alter", [history_shuffled, rating_hidden, titles_as_ids, history_of_another]
)
def test_labels_stay_and_equal_streams_alter_equally(
    asking, alter: Callable[[Asking, np.random.Generator], Asking]
):
    altered = alter(asking, stream(3, "x"))
    for name in ("liked", "user_id"):
        before, after = getattr(asking.timelines, name), getattr(altered.timelines, name)
        assert after[altered.examples.target].tolist() == before[asking.examples.target].tolist()
    assert altered.row.tolist() == sorted(altered.row.tolist())
    assert texts(altered) == texts(alter(asking, stream(3, "x")))


@pytest.mark.parametrize("alter", [history_shuffled, history_of_another])
def test_other_streams_alter_otherwise(asking, alter):
    assert texts(alter(asking, stream(3, "x"))) != texts(alter(asking, stream(4, "x")))


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 50))
def test_partners_are_of_another_user_and_used_once(users: list[int], seed: int):
    user_id = np.array(users, dtype=np.int64)
    found = partners(user_id, stream(seed, "x"))
    most = max((users.count(user) for user in users), default=0)
    assert (found is None) == (2 * most > len(users))
    if found is not None:
        assert sorted(found.tolist()) == list(range(len(users)))
        assert (user_id[found] != user_id).all()
