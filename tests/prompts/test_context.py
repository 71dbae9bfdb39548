"""Context lines in prompts: the same text in pieces, whole, shared and message by message."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.history import History
from reeltune.data.timelines import Timelines, cut_blocks
from reeltune.domain import (
    FILM,
    INTERVIEW,
    SIGNALS,
    WINDOW,
    Form,
    PromptSettings,
    Renderer,
    SignalKind,
)
from reeltune.errors import DataError
from reeltune.prompts.pieces import PromptTokens, char_pieces
from reeltune.prompts.sharing import block_sequences, candidate_sequences
from tests.errors import raises_error
from tests.helpers import Kind
from tests.prompts.build import FORMS, ITEMS, KINDS, lists, tokenizer_of, turns_of
from tests.timelines import examples_of, random_timelines, timelines_of

signal_kinds = st.lists(st.sampled_from(list(SIGNALS)), unique=True).map(
    lambda some: tuple(kind for kind in SIGNALS if kind in some)
)
forms, tokenizers = st.sampled_from(FORMS), st.sampled_from(KINDS)


def tokens_of(kind: Kind, form: Form, signals: tuple[SignalKind, ...]) -> PromptTokens:
    settings = PromptSettings(form=form, signals=signals)
    return PromptTokens(tokenizer_of(kind), Renderer(settings), ITEMS[:6])


def codes_for(tokens: PromptTokens, count: int, seed: int) -> npt.NDArray[np.int16]:
    """Any entry of each kind, for so many films."""
    random = np.random.default_rng(seed)
    columns = [random.integers(0, len(lines), count) for lines in tokens.pieces.context]
    return np.array(columns, dtype=np.int16).reshape(len(columns), count).T


def with_codes(tokens: PromptTokens, timelines: Timelines, seed: int) -> Timelines:
    return replace(timelines, context=codes_for(tokens, len(timelines), seed))


@pytest.mark.slow
@given(tokenizers, forms, signal_kinds, random_timelines(6), st.integers(1, 4), st.integers(0, 99))
def test_prompts_in_pieces_equal_the_rendered_messages(
    kind: Kind, form: Form, signals: tuple[SignalKind, ...], timelines: Timelines, length, seed
):
    tokens = tokens_of(kind, form, signals)
    assert tokens.differing == []
    timelines = with_codes(tokens, timelines, seed)
    examples = examples_of(timelines, length)
    expected = []
    for start, target in zip(examples.start.tolist(), examples.target.tolist(), strict=True):
        text = tokens.frame.wrap(*turns_of(tokens.renderer, ITEMS, timelines, start, target))
        expected.append(tokenizer_of(kind)(text, add_special_tokens=False)["input_ids"])
    assert lists(tokens.prompts(timelines, examples)) == expected
    assert tokens.pieces.lengths(timelines, examples).tolist() == [len(ids) for ids in expected]
    whole = [
        tokenizer_of(kind)(text, add_special_tokens=False)["input_ids"]
        for text in tokens.texts(timelines, examples)
    ]
    assert whole == expected


@pytest.mark.slow
@given(tokenizers, forms, signal_kinds, st.booleans(), random_timelines(6), st.integers(0, 99))
def test_shared_histories_hold_the_prompts_with_their_context(
    kind: Kind, form: Form, signals: tuple[SignalKind, ...], answered, timelines: Timelines, seed
):
    tokens = tokens_of(kind, form, signals)
    timelines = with_codes(tokens, timelines, seed)
    blocks = cut_blocks(timelines, examples_of(timelines, 2), 3)
    answers = tokens.answers if answered else None
    sequences = block_sequences(tokens.pieces, timelines, blocks, form, answers)
    assert lists(sequences.alone()) == lists(tokens.prompts(timelines, blocks.examples))


@pytest.mark.slow
@given(tokenizers, forms, signal_kinds, st.lists(st.integers(0, 5), max_size=4), st.integers(0, 99))
def test_branches_contain_the_context_of_their_candidates(
    kind: Kind, form: Form, signals: tuple[SignalKind, ...], items: list[int], seed: int
):
    tokens = tokens_of(kind, form, signals)
    candidates = np.array(items, dtype=np.int64)
    rated = History.of([2, 4], [4.5, 1.0])
    histories = [
        replace(rated, context=codes_for(tokens, 2, seed)),
        replace(History.of([], []), context=codes_for(tokens, 0, seed)),
    ]
    codes = [codes_for(tokens, len(items), seed + more) for more in (1, 2)]
    sequences = candidate_sequences(tokens.pieces, histories, [candidates] * 2, codes)
    expected = [
        prompt
        for history, own in zip(histories, codes, strict=True)
        for prompt in lists(tokens.candidate_prompts(history, candidates, own))
    ]
    assert lists(sequences.alone()) == expected


@pytest.mark.parametrize("form", FORMS)
def test_the_instruction_announces_the_signals_in_order(form: Form):
    renderer = Renderer(PromptSettings(form=form, signals=tuple(SIGNALS)))
    head = renderer.head()
    places = [head.index(kind.announced(FILM)) for kind in SIGNALS.values()]
    assert places == sorted(places)
    bare = Renderer(PromptSettings(form=form)).head()
    assert not any(kind.announced(FILM) in bare for kind in SIGNALS.values())


def test_a_window_shows_context_lines_of_the_candidate_only_and_an_interview_of_every_item():
    history = [(4.5, ITEMS[1])]
    words = ["of the past film\n", "of the candidate\n"]
    (window,) = Renderer(PromptSettings(form=WINDOW)).turns(history, ITEMS[2], words)
    assert words[0] not in window
    assert window.endswith("of the candidate\nYes or No?")
    first, _, last = Renderer(PromptSettings(form=INTERVIEW)).turns(history, ITEMS[2], words)
    assert first.endswith(words[0])
    assert last.endswith(words[1])


@pytest.mark.parametrize("form", FORMS)
def test_events_without_codes_are_refused_where_the_prompt_shows_them(form: Form):
    tokens = tokens_of("qwen3", form, ("recent",))
    timelines = timelines_of([0, 1, 2], [4.0, 2.0, 5.0])
    examples = examples_of(timelines, 2)
    with raises_error(DataError, "missing_context_codes"):
        tokens.prompts(timelines, examples)
    with raises_error(DataError, "missing_context_codes"):
        tokens.candidate_prompts(History.of([], []), np.array([1]))


def test_characters_count_the_context():
    words = PromptSettings(form=INTERVIEW, signals=("recent", "expected"))
    timelines = replace(
        timelines_of([0, 1, 2], [4.0, 2.0, 5.0]), context=np.zeros((3, 2), dtype=np.int16)
    )
    examples = examples_of(timelines, 2)
    more = char_pieces(Renderer(words), ITEMS).lengths(timelines, examples)
    bare = replace(words, signals=())
    less = char_pieces(Renderer(bare), ITEMS).lengths(timelines, examples)
    head = len(Renderer(words).head()) - len(Renderer(bare).head())
    line = len("Lately 0%\nExpected 0%\n")
    assert (more - less).tolist() == [head + line * count for count in (1, 2, 3)]


@pytest.mark.parametrize("signals", [(), ("item",), tuple(SIGNALS)])
def test_settings_survive_their_file(signals: tuple[SignalKind, ...]):
    settings = PromptSettings(signals=signals)
    stored = settings.to_dict()
    assert PromptSettings.from_dict(stored) == settings
    # Version 0.1 called the key evidence; before that there was none.
    del stored["signals"]
    assert PromptSettings.from_dict(stored).signals == ()
    assert PromptSettings.from_dict({**stored, "evidence": list(signals)}) == settings
