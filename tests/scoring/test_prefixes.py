"""Keys and values of earlier histories: predictions are those of computing everything anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from reeltune.attention.shared import KnownTokens
from reeltune.data.history import History
from reeltune.prompts.sequences import Sequences, concatenate_sequences
from reeltune.scoring.head import AnswerHead
from reeltune.scoring.predictor import Predictor, Query, query_sequences
from reeltune.scoring.prefixes import ModelState, PrefixCache
from reeltune.scoring.scorer import Scorer
from tests.scoring.models import ROUNDING, random_candidates, random_history, random_loaded_model

ITEMS = 40
ROOM = 2**30


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """Yield the tokens of every pass: how many were known, and how many there were."""
    passes: list[tuple[int, int]] = []
    inner = AnswerHead.packed_hidden

    def packed_hidden(self: AnswerHead, packed: Any, known: KnownTokens | None = None) -> Any:
        passes.append((0 if known is None else int(known.known.sum()), packed.ids.shape[1]))
        return inner(self, packed, known)

    with monkeypatch.context() as patched:
        patched.setattr(AnswerHead, "packed_hidden", packed_hidden)
        yield passes


def scorers(predictor: Predictor, room: int = ROOM, tokens: int = 5000) -> tuple[Scorer, Scorer]:
    """Return a scorer with a cache and one without."""
    model, answers = predictor.loaded.model, predictor.loaded.answers
    return (
        Scorer(model, answers, tokens, prefixes=PrefixCache(room)),
        Scorer(model, answers, tokens),
    )


def sequences_of(predictor: Predictor, *histories: History, count: int = 6) -> Sequences:
    """Return the same candidates after some histories."""
    candidates = random_candidates(np.random.default_rng(1), ITEMS, count)
    return query_sequences(predictor.loaded.tokens, [Query(each, candidates) for each in histories])


def check_equal(cached: Scorer, plain: Scorer, sequences: Sequences) -> None:
    found, expected = cached.score(sequences), plain.score(sequences)
    np.testing.assert_allclose(found.p_yes, expected.p_yes, rtol=0, atol=ROUNDING)
    assert expected.p_yes.std() > 100 * ROUNDING


def test_of_a_history_that_grows_only_what_is_new_is_computed(predictor: Predictor, monkeypatch):
    cached, plain = scorers(predictor)
    whole = random_history(np.random.default_rng(0), ITEMS, 5)
    trunks = []
    for events in (0, 2, 3, 3, 5):
        sequences = sequences_of(predictor, whole.take(slice(events)))
        trunks.append(sequences.ids[0][: int(sequences.trunk[0])])
        with counted(monkeypatch) as passes:
            cached.score(sequences)
        ((known, tokens),) = passes
        longest = max((common(trunks[-1], each) for each in trunks[:-1]), default=0)
        assert (known, tokens) == (longest, len(sequences.ids[0]))
        check_equal(cached, plain, sequences)
    assert len(trunks[3]) == common(trunks[2], trunks[3]) > 100


def common(first: np.ndarray, second: np.ndarray) -> int:
    """Count the tokens before the first difference, one by one."""
    count = 0
    while count < min(len(first), len(second)) and first[count] == second[count]:
        count += 1
    return count


@pytest.mark.slow
def test_histories_in_one_row_and_in_several_find_their_own_beginnings(predictor: Predictor):
    random = np.random.default_rng(2)
    histories = [random_history(random, ITEMS, events) for events in (4, 5, 1, 0)]
    for tokens in (400, 100_000):
        cached, plain = scorers(predictor, tokens=tokens)
        for some in (histories[:3], [each.without(1) for each in histories[:2]]):
            check_equal(cached, plain, sequences_of(predictor, *some))


def test_answer_positions_in_a_trunk_are_always_computed(predictor: Predictor):
    """As in the blocks of an interview, whose history holds the queries."""
    cached, plain = scorers(predictor)
    whole = random_history(np.random.default_rng(3), ITEMS, 5)
    one = sequences_of(predictor, whole, count=1)
    own = replace(
        one,
        answer_position=one.trunk - 20,
        branch=np.full(1, -1),
        leave=one.trunk - 19,
    )
    for sequences in (one, concatenate_sequences([own, one]), own):
        found = cached.score(sequences, packed=True).p_yes
        expected = plain.score(sequences, packed=True).p_yes
        np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


def test_the_base_model_has_keys_and_values_of_its_own(predictor: Predictor, monkeypatch):
    cached, plain = scorers(predictor)
    sequences = sequences_of(predictor, random_history(np.random.default_rng(4), ITEMS, 4))
    tuned = cached.score(sequences).p_yes
    with predictor.loaded.without_adapter(), counted(monkeypatch) as passes:
        check_equal(cached, plain, sequences)
        assert np.abs(cached.score(sequences).p_yes - tuned).max() > 0.01
    with counted(monkeypatch) as again:
        check_equal(cached, plain, sequences)
    trunk = int(sequences.trunk[0])
    assert [known for known, _ in passes] == [0, 0, trunk]
    assert [known for known, _ in again] == [trunk, 0]


@pytest.mark.slow
def test_nothing_is_reused_after_the_adapter_changed(prepared, tiny_qwen3):
    predictor = Predictor(random_loaded_model(prepared, tiny_qwen3))
    model = predictor.loaded.peft_model
    cached, plain = scorers(predictor)
    sequences = sequences_of(predictor, random_history(np.random.default_rng(5), ITEMS, 4))
    states = []

    def check_changed() -> None:
        states.append(ModelState.of(model))
        assert not any(states[-1].same(earlier) for earlier in states[:-1])
        check_equal(cached, plain, sequences)

    check_changed()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.mul_(-1)
    check_changed()
    model.add_adapter("other", model.peft_config["default"])
    model.set_adapter("other")
    check_changed()
    model.delete_adapter("other")
    model.add_adapter("other", model.peft_config["default"])
    model.set_adapter("other")
    check_changed()
    model.merge_adapter(["default"])
    check_changed()


def test_the_cache_has_a_bound_and_drops_what_was_not_used_for_longest(predictor: Predictor):
    state = ModelState.of(predictor.loaded.model)

    def entry(first: int, tokens: int = 10):
        layers = [(torch.zeros(2, tokens, 8), torch.zeros(2, tokens, 8))]
        return np.full(tokens, first, dtype=np.int32), layers

    cache = PrefixCache(3 * 2 * 2 * 10 * 8 * 4)
    for number in (1, 2, 3):
        cache.add(state, *entry(number))
    assert cache.size == cache.max_bytes
    assert cache.find(state, entry(1)[0])[0] == 10
    cache.add(state, *entry(4, tokens=11))  # takes the place of two
    assert [cache.find(state, entry(n, 11)[0])[0] for n in (1, 2, 3, 4)] == [10, 0, 0, 11]
    cache.add(state, *entry(5, tokens=31))
    assert [cache.find(state, entry(n, 31)[0])[0] for n in (1, 4, 5)] == [10, 11, 0]
    assert cache.size <= cache.max_bytes


@pytest.mark.parametrize(
    ("rope", "device", "room", "caches"),
    [
        ({"rope_type": "default"}, "cpu", 1, True),
        (None, "cpu", 1, True),
        ({"rope_type": "longrope"}, "cpu", 1, False),
        ({"full_attention": {"rope_type": "dynamic"}}, "cpu", 1, False),
        ({"rope_type": "default"}, "cuda", 1, False),
        ({"rope_type": "default"}, "cpu", 0, False),
    ],
)
def test_nothing_is_kept_where_it_would_be_wrong(rope, device, room, caches):
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(rope_parameters=rope))
    model: Any = SimpleNamespace(config=config, device=torch.device(device))
    assert (PrefixCache.for_model(model, room) is not None) == caches


@pytest.mark.slow
def test_predictors_keep_histories_as_configured(prepared, tiny_qwen3, monkeypatch):
    query = Query(random_history(np.random.default_rng(6), ITEMS, 4), np.arange(5))
    for mib, known in ((64, True), (0, False)):
        loaded = random_loaded_model(prepared, tiny_qwen3, scoring__prefix_cache_mib=mib)
        predictor = Predictor(loaded)
        with counted(monkeypatch) as passes:
            for base in (False, True, False, True):
                predictor.predict([query], base=base)
        assert [bool(count) for count, _ in passes] == [False, False, known, known]
