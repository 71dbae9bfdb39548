"""Each alteration changes what it names and nothing else, as the prompts show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.columns import TEST
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Domain, Form, Item, PromptSettings, Renderer
from reeltune.evaluation.ablations import (
    ALTERATIONS,
    PromptRows,
    exchange_history,
    hide_rating,
    partners,
    shuffle_context,
    shuffle_history,
    titles_as_ids,
)
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.prompts.pieces import PromptTokens
from reeltune.seeds import stream
from tests.helpers import write_prepared
from tests.runs import tiny_config

FORMS: tuple[Form, ...] = ("window", "interview")

Shown = tuple[list[tuple[float, Item]], Item]
"""What a row shows: stars and films of its history, and its candidate."""


@pytest.fixture(scope="module", params=FORMS)
def loaded(request: pytest.FixtureRequest, tiny_qwen3, tmp_path_factory) -> LoadedModel:
    """A base model in either form, with users with histories of different length."""
    work = tmp_path_factory.mktemp("altered")
    path = write_prepared(work / "prepared", items=30, history_len=6, min_history=2)
    config = tiny_config(tiny_qwen3, path, work, prompt__form=request.param, prompt__genres=True)
    return load_model(config, None)


@pytest.fixture(scope="module")
def rows(loaded: LoadedModel) -> PromptRows:
    folder = loaded.folder
    events = np.concatenate([folder.examples(split).target for split in ("train", TEST)])
    return PromptRows.of_events(loaded, np.sort(events))


def read(folder: PreparedFolder, rows: PromptRows) -> list[Shown]:
    """What each row shows, one event at a time; the events' ``item_idx`` is the folder's."""
    timelines = rows.timelines
    said = [
        (float(rating), folder.items[item])
        for rating, item in zip(timelines.rating, timelines.item_idx, strict=True)
    ]
    bounds = zip(rows.examples.start.tolist(), rows.examples.target.tolist(), strict=True)
    return [(said[start:target], said[target][1]) for start, target in bounds]


def prepared_rows(loaded: LoadedModel, rows: PromptRows) -> list[Shown]:
    """What the rows show as they were prepared, read from the folder itself."""
    timelines, items = loaded.folder.timelines, loaded.folder.items
    place = {
        (int(user), int(item)): event
        for event, (user, item) in enumerate(
            zip(timelines.user_id, timelines.item_idx, strict=True)
        )
    }
    context = []
    for last in rows.examples.target:
        event = place[int(rows.timelines.user_id[last]), int(rows.timelines.item_idx[last])]
        shown = range(event - min(int(timelines.position[event]), 6), event)
        history = [
            (float(timelines.rating[past]), items[timelines.item_idx[past]]) for past in shown
        ]
        context.append((history, items[timelines.item_idx[event]]))
    return context


def texts(rows: PromptRows) -> list[str]:
    return list(rows.tokens.texts(rows.timelines, rows.examples))


def rendered(rows: PromptRows, shown: list[Shown]) -> list[str]:
    """The prompts of rows, rendered whole."""
    tokens = rows.tokens
    return [tokens.frame.wrap(*tokens.renderer.turns(*row)) for row in shown]


def test_unaltered_rows_are_prompts_as_prepared(loaded, rows):
    shown = prepared_rows(loaded, rows)
    assert read(loaded.folder, rows) == shown
    assert texts(rows) == rendered(rows, shown)
    assert {len(history) for history, _ in shown} == {2, 3, 4, 5, 6}


def test_shuffling_changes_the_order_of_the_history_alone(loaded, rows):
    before = prepared_rows(loaded, rows)
    shuffled = shuffle_history(rows, stream(0, "x"))
    after = read(loaded.folder, shuffled)
    assert texts(shuffled) == rendered(rows, after)
    moved = 0
    for (history, candidate), (other, unchanged) in zip(before, after, strict=True):
        assert candidate == unchanged
        assert sorted(history) == sorted(other)
        moved += history != other
    assert moved > 0.7 * len(before)  # two films keep their order half of the time


def test_hiding_the_stars_leaves_the_films(loaded, rows):
    hidden = texts(hide_rating(rows, stream(0, "x")))
    shown = [
        ([(3.0, item) for _, item in history], candidate)
        for history, candidate in prepared_rows(loaded, rows)
    ]
    assert hidden == rendered(rows, shown)
    assert hidden != texts(rows)
    assert all("4.5" not in text for text in hidden)


@pytest.mark.parametrize(
    ("low", "high", "middle"), [(0.5, 5.0, 3.0), (1.0, 5.0, 3.0), (1.0, 4.0, 3.0)]
)
def test_the_middle_of_a_scale_is_a_rating(rows, monkeypatch, low, high, middle):
    settings = rows.tokens.renderer.settings
    changed = type(settings)(**{**settings.to_dict(), "scale_min": low, "scale_max": high})
    monkeypatch.setattr(rows.tokens.renderer, "settings", changed)
    hidden = hide_rating(rows, stream(0, "x"))
    assert set(hidden.timelines.rating[~rows.is_candidate].tolist()) == {middle}
    kept = hidden.timelines.rating[rows.is_candidate].tolist()
    assert kept == rows.timelines.rating[rows.is_candidate].tolist()


@pytest.mark.parametrize(
    ("high", "threshold", "middle"), [(10.0, 7.0, ("6 of 10.", "6: ")), (1.0, 1.0, ("Adored",) * 2)]
)
def test_ratings_without_stars_are_hidden_too(rows, high, threshold, middle):
    domain = Domain("book", "book", "books", liked="adored")
    form, low = rows.tokens.renderer.settings.form, min(1.0, high - 1)
    settings = PromptSettings(threshold, low, high, False, form, domain=domain, scale_step=1.0)
    tokens = PromptTokens(rows.tokens.tokenizer, Renderer(settings), rows.items)
    random = np.random.default_rng(0)
    rating = random.integers(low, high + 1, len(rows.timelines)).astype(np.float32)
    one, other = (
        replace(rows, tokens=tokens, timelines=replace(rows.timelines, rating=values))
        for values in (rating, low + high - rating)
    )
    # Prompts have no rating of the candidate, so nothing of any rating is left.
    hidden = texts(hide_rating(one, random))
    assert hidden == texts(hide_rating(other, random))
    assert all(shown != text for shown, text in zip(texts(one), texts(other), strict=True))
    assert all(any(word.lower() in text.lower() for word in middle) for text in hidden)


def test_no_ablation_is_named_in_the_words_of_one_domain():
    written = " ".join([*ALTERATIONS, *(about for _, about in ALTERATIONS.values())])
    assert not any(word in written for word in ("star", "film", "movie"))


def test_shuffled_signals_come_from_other_rows_and_change_nothing_else(rows):
    random = np.random.default_rng(0)
    codes = random.integers(0, 20, (len(rows.timelines), 1)).astype(np.int16)
    with_codes = replace(rows, timelines=replace(rows.timelines, context=codes))
    shuffled = shuffle_context(with_codes, stream(0, "x"))
    assert shuffled is not None
    context = shuffled.timelines.context
    assert context is not None
    for some in (rows.is_candidate, ~rows.is_candidate):
        assert sorted(context[some].ravel()) == sorted(codes[some].ravel())
    assert (context != codes).mean() > 0.8
    assert vars(replace(shuffled, timelines=rows.timelines)) == vars(rows)
    kept = replace(shuffled.timelines, context=None)
    for name, values in vars(rows.timelines).items():
        assert np.array_equal(getattr(kept, name), values)


def test_without_signals_none_are_shuffled(rows):
    assert shuffle_context(rows, stream(0, "x")) is None


def test_ids_replace_title_year_and_genres(loaded, rows):
    def numbered(item: Item) -> Item:
        return Item(item.item_id, f"Film {item.item_id}", None, ())

    shown = [
        ([(rating, numbered(item)) for rating, item in history], numbered(candidate))
        for history, candidate in prepared_rows(loaded, rows)
    ]
    assert texts(titles_as_ids(rows, stream(0, "x"))) == rendered(rows, shown)


def test_only_the_history_is_exchanged(loaded, rows):
    exchanged = exchange_history(rows, stream(0, "x"))
    assert exchanged is not None
    before, after = prepared_rows(loaded, rows), read(loaded.folder, exchanged)
    assert texts(exchanged) == rendered(rows, after)
    user = rows.timelines.user_id[rows.examples.target].tolist()
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


@pytest.mark.parametrize("alter", [shuffle_history, hide_rating, titles_as_ids, exchange_history])
def test_labels_stay_and_alterations_are_reproducible(
    rows, alter: Callable[[PromptRows, np.random.Generator], PromptRows]
):
    altered = alter(rows, stream(3, "x"))
    for name in ("liked", "user_id"):
        before, after = getattr(rows.timelines, name), getattr(altered.timelines, name)
        assert after[altered.examples.target].tolist() == before[rows.examples.target].tolist()
    assert altered.row.tolist() == sorted(altered.row.tolist())
    assert texts(altered) == texts(alter(rows, stream(3, "x")))


@pytest.mark.parametrize("alter", [shuffle_history, exchange_history])
def test_other_streams_give_other_alterations(rows, alter):
    assert texts(alter(rows, stream(3, "x"))) != texts(alter(rows, stream(4, "x")))


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 50))
def test_partners_are_of_another_user_and_used_once(users: list[int], seed: int):
    user_id = np.array(users, dtype=np.int64)
    context = partners(user_id, stream(seed, "x"))
    most = max((users.count(user) for user in users), default=0)
    assert (context is None) == (2 * most > len(users))
    if context is not None:
        assert sorted(context.tolist()) == list(range(len(users)))
        assert (user_id[context] != user_id).all()
