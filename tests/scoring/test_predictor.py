"""Predictions equal those of whole prompts, however queries are batched and ordered."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from reeltune.attention.shared import NAME
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.errors import LengthError, ModelError
from reeltune.models.adapter import merged_copy
from reeltune.prompts.rows import ANSWER_TOKENS
from reeltune.scoring import predictor as predictor_module
from reeltune.scoring.predictor import Predictor, Query, query_sequences
from reeltune.scoring.scorer import Scorer
from tests.errors import raises_error
from tests.prompts.build import prefixing_tokenizer
from tests.scoring.models import (
    ROUNDING,
    alone,
    random_candidates,
    random_history,
    random_loaded_model,
)
from tests.scoring.test_sharing import causal_over_the_row

ITEMS = 40
NOBODY = History.of([], [])


def p_yes(
    predictor: Predictor, history: History, items: list[int], *, base: bool = False
) -> np.ndarray:
    query = Query(history, np.array(items, dtype=np.int64))
    return predictor.predict([query], base=base)[0].p_yes


@pytest.mark.slow
@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_predictions_of_queries_equal_those_of_whole_prompts(
    predictor: Predictor, seed: int, count: int
):
    random = np.random.default_rng(seed)
    queries = [
        Query(
            random_history(random, ITEMS, int(random.integers(0, 6))),
            random_candidates(random, ITEMS, int(random.integers(0, 4))),
        )
        for _ in range(count)
    ]
    found = predictor.predict(queries)
    assert [len(one.p_yes) for one in found] == [len(one.candidates) for one in queries]
    for query, predictions in zip(queries, found, strict=True):
        expected = [alone(predictor, query.history, item) for item in query.candidates]
        np.testing.assert_allclose(predictions.p_yes, expected, rtol=0, atol=ROUNDING)


@pytest.mark.slow
@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_predictions_with_signals_equal_those_of_whole_prompts(
    predictor_with_signals: Predictor, seed: int
):
    random = np.random.default_rng(seed)
    histories = [random_history(random, ITEMS, int(random.integers(0, 7))) for _ in range(2)]
    queries = [Query(one, random_candidates(random, ITEMS, 3)) for one in histories]
    for query, predictions in zip(queries, predictor_with_signals.predict(queries), strict=True):
        expected = [alone(predictor_with_signals, query.history, item) for item in query.candidates]
        np.testing.assert_allclose(predictions.p_yes, expected, rtol=0, atol=ROUNDING)


@pytest.mark.slow
def test_signals_use_more_of_the_history_than_is_shown(
    predictor_with_signals: Predictor, predictor: Predictor
):
    random = np.random.default_rng(1)
    whole = random_history(random, ITEMS, 12)
    newest = p_yes(predictor_with_signals, whole.last(3), [1, 2, 3])
    assert not np.allclose(p_yes(predictor_with_signals, whole, [1, 2, 3]), newest, atol=1e-7)
    assert predictor_with_signals.max_history > 12
    assert predictor.max_history == predictor.history_len


@pytest.mark.slow
def test_queries_together_equal_queries_one_by_one(predictor: Predictor):
    random = np.random.default_rng(3)
    queries = [
        Query(random_history(random, ITEMS, 5), random_candidates(random, ITEMS, 7))
        for _ in range(6)
    ]
    together = np.concatenate([one.p_yes for one in predictor.predict(queries)])
    single = np.concatenate([predictor.predict([one])[0].p_yes for one in queries])
    np.testing.assert_allclose(together, single, rtol=0, atol=ROUNDING)
    assert together.std() > 0.01


@pytest.mark.slow
def test_the_newest_events_are_shown_and_no_others(predictor: Predictor):
    history = random_history(np.random.default_rng(0), ITEMS, 12)
    assert predictor.history_len == 5
    shown = p_yes(predictor, history, [1, 2, 3])
    assert shown.tolist() == p_yes(predictor, history.last(5), [1, 2, 3]).tolist()
    assert abs(shown - p_yes(predictor, history.last(4), [1, 2, 3])).min() > ROUNDING
    longer = Predictor(predictor.loaded, history_len=12)
    assert abs(shown - p_yes(longer, history, [1, 2, 3])).min() > ROUNDING
    np.testing.assert_allclose(
        p_yes(longer, history, [1]), [alone(longer, history, 1)], rtol=0, atol=ROUNDING
    )


@pytest.mark.slow
def test_the_base_model_predicts_differently_and_leaves_the_adapter_active(predictor: Predictor):
    history, items = random_history(np.random.default_rng(1), ITEMS, 5), [0, 1, 2, 3]
    tuned = p_yes(predictor, history, items)
    base = p_yes(predictor, history, items, base=True)
    assert predictor.has_adapter
    assert np.abs(tuned - base).max() > 0.01
    with predictor.loaded.without_adapter():
        expected = [alone(predictor, history, item) for item in items]
    np.testing.assert_allclose(base, expected, rtol=0, atol=ROUNDING)
    assert p_yes(predictor, history, items).tolist() == tuned.tolist()
    assert p_yes(predictor, history, items, base=True).tolist() == base.tolist()


@pytest.mark.slow
def test_a_model_is_checked_once_and_its_base_runs_only_if_asked(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
):
    active: list[bool] = []
    check, score = Scorer.check, Scorer.score

    def counted(method):
        def call(*args, **options):
            active.append(predictor.loaded.adapter_active)
            return method(*args, **options)

        return call

    monkeypatch.setattr(Scorer, "check", counted(check))
    checked = Predictor(predictor.loaded)
    assert active == [True]
    monkeypatch.setattr(Scorer, "score", counted(score))
    p_yes(checked, NOBODY, [4, 5])
    assert active == [True, True]
    p_yes(checked, NOBODY, [4, 5], base=True)
    assert active == [True, True, False]


def test_without_an_adapter_base_changes_nothing(predictor: Predictor):
    loaded = predictor.loaded
    plain = Predictor(replace(loaded, model=loaded.base.model))
    history = random_history(np.random.default_rng(2), ITEMS, 5)
    assert not plain.has_adapter
    found = p_yes(plain, history, [4, 5])
    assert found.tolist() == p_yes(plain, history, [4, 5], base=True).tolist()


@pytest.mark.slow
def test_calibration_is_of_the_adapter_and_not_of_the_base(predictor: Predictor):
    calibrated = Predictor(replace(predictor.loaded, calibrate=lambda given: given / 2))
    history = random_history(np.random.default_rng(4), ITEMS, 5)
    for base, share in ((False, 2), (True, 1), (False, 2)):
        found = p_yes(calibrated, history, [6, 7], base=base)
        as_given = p_yes(predictor, history, [6, 7], base=base)
        np.testing.assert_allclose(found * share, as_given, rtol=0, atol=ROUNDING)


def test_empty_queries_give_no_predictions(predictor: Predictor):
    none = np.array([], dtype=np.int64)
    assert predictor.predict([]) == []
    found = predictor.predict([Query(NOBODY, none), Query(NOBODY, np.array([3]))])
    assert [len(one.p_yes) for one in found] == [0, 1]
    assert found[1].p_yes[0] == pytest.approx(alone(predictor, NOBODY, 3), abs=ROUNDING)
    only_empty = predictor.predict([Query(NOBODY, none)])
    assert [len(one.log_odds) for one in only_empty] == [0]


def test_progress_counts_every_prediction(predictor: Predictor):
    told: list[tuple[int, int]] = []
    queries = [Query(NOBODY, np.arange(3)), Query(NOBODY, np.arange(4))]
    predictor.predict(queries, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (7, 7)


def test_no_prompt_is_longer_than_the_longest(predictor: Predictor):
    """The film with the most tokens, five times in the history and once more as the candidate."""
    tokens = predictor.loaded.tokens
    longest = int(tokens.pieces.items.lengths.argmax())
    line = tokens.pieces.before_item.lengths + tokens.pieces.after_item.lengths
    history = History.of([longest] * 5, [float(line.argmax()) / 2] * 5)
    (prompt,) = tokens.candidate_prompts(history, np.array([longest]))
    assert len(prompt) + ANSWER_TOKENS == predictor.longest_prompt


def test_prompts_that_could_be_too_long_are_refused_at_once(predictor: Predictor):
    def with_max_length(tokens: int) -> Predictor:
        config = predictor.loaded.config
        data = config.data.model_copy(update={"max_length": tokens})
        return Predictor(replace(predictor.loaded, config=config.model_copy(update={"data": data})))

    assert with_max_length(predictor.longest_prompt).longest_prompt == predictor.longest_prompt
    with raises_error(
        LengthError, "prompt_too_long", where="data.max_length", figures=[5]
    ) as caught:
        with_max_length(predictor.longest_prompt - 1)
    assert str(predictor.longest_prompt) in str(caught.value.hint)


@pytest.mark.parametrize("why", ["pieces differ", "single layout"])
def test_predictions_without_sharing_are_the_same(
    prepared: PreparedFolder, tiny_llama: Path, why: str
):
    options: dict[str, Any] = {"scoring__share_history": False}
    if why == "pieces differ":
        options = {"tokenizer": prefixing_tokenizer()}
    predictor = Predictor(random_loaded_model(prepared, tiny_llama, "window", **options))
    tokens, shared = predictor.loaded.tokens, predictor.loaded.config.scoring.share_history
    assert bool(tokens.differing) == (why == "pieces differ")
    random = np.random.default_rng(5)
    history, items = random_history(random, ITEMS, 5), random_candidates(random, ITEMS, 6)
    assert query_sequences(tokens, [Query(history, items)], shared).plain
    for base in (False, True):
        found = p_yes(predictor, history, items.tolist(), base=base)
        with predictor.loaded.without_adapter() if base else contextlib.nullcontext():
            expected = [alone(predictor, history, item) for item in items]
        np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)
        assert found.std() > 0.001


def test_a_model_that_cannot_share_is_refused_unless_sharing_is_off(
    prepared: PreparedFolder, tiny_qwen3: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, NAME, causal_over_the_row)
    with raises_error(ModelError, "histories_not_shareable", figures=["scoring.share_history"]):
        Predictor(random_loaded_model(prepared, tiny_qwen3))
    predictor = Predictor(random_loaded_model(prepared, tiny_qwen3, scoring__share_history=False))
    history = random_history(np.random.default_rng(6), ITEMS, 5)
    expected = [alone(predictor, history, item) for item in (8, 9)]
    np.testing.assert_allclose(p_yes(predictor, history, [8, 9]), expected, rtol=0, atol=ROUNDING)


def test_a_merged_adapter_predicts_like_the_adapter_and_leaves_the_base_alone(
    prepared: PreparedFolder, tiny_qwen3: Path
):
    loaded = random_loaded_model(prepared, tiny_qwen3)
    before = {name: (id(w), w._version) for name, w in loaded.model.named_parameters()}
    config = loaded.config.scoring.model_copy(update={"merge_adapter": False})
    apart = replace(loaded, config=loaded.config.model_copy(update={"scoring": config}))
    merged, plain = Predictor(loaded), Predictor(apart)
    assert plain._scorer.model is loaded.model is not merged._scorer.model
    query = Query(random_history(np.random.default_rng(3), ITEMS, 5), np.arange(20))
    (found,), (expected,) = merged.predict([query]), plain.predict([query])
    np.testing.assert_allclose(found.log_odds, expected.log_odds, rtol=0, atol=ROUNDING)
    (base,), (published,) = (each.predict([query], base=True) for each in (merged, plain))
    np.testing.assert_array_equal(base.log_odds, published.log_odds)
    assert np.abs(base.log_odds - found.log_odds).max() > 1000 * ROUNDING
    assert before == {name: (id(w), w._version) for name, w in loaded.model.named_parameters()}


def merges(model: Any, **options: Any) -> Any:
    """Return the merged copy of a model with a new adapter whose matrices are random."""
    defaults: dict[str, Any] = {"target_modules": ["q_proj"], "init_lora_weights": False}
    return merged_copy(get_peft_model(model, LoraConfig(**defaults | options)))


def test_only_the_weights_that_an_adapter_changes_are_copied(tiny_qwen3: Path):
    base = AutoModelForCausalLM.from_pretrained(tiny_qwen3)
    names = dict(base.named_parameters())
    copied = dict(merges(base).named_parameters())
    changed = {name for name, weight in copied.items() if weight is not names[name]}
    assert changed == {name for name in names if "q_proj" in name} != set()


def test_what_merging_would_round_or_change_stays_an_adapter(tiny_qwen3: Path):
    def load(**options: Any) -> Any:
        return AutoModelForCausalLM.from_pretrained(tiny_qwen3, **options)

    assert merged_copy(load()) is None
    assert merges(load()) is not None
    assert merges(load(dtype=torch.bfloat16)) is None
    assert merges(load(), use_dora=True) is None
    assert merges(load(), lora_bias=True) is None  # PEFT cannot merge it into Qwen3's layers
    assert merges(load(), target_modules=["q_proj", "embed_tokens"]) is None
    assert merges(load(), target_modules=["q_proj", "lm_head"]) is None


def test_an_adapter_stays_apart_where_copies_would_take_most_of_the_memory(
    tiny_qwen3: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    base = AutoModelForCausalLM.from_pretrained(tiny_qwen3)
    size = sum(w.nbytes for name, w in base.named_parameters() if "q_proj" in name) / 2**30
    for free, expected in ((2 * size, True), (1.99 * size, False)):
        monkeypatch.setattr("reeltune.models.adapter.free_memory", lambda _, free=free: free)
        assert (merges(AutoModelForCausalLM.from_pretrained(tiny_qwen3)) is not None) == expected
        assert ("scoring.merge_adapter" in caplog.text) == (not expected)


@pytest.mark.parametrize("share_history", [True, False])
def test_a_merged_copy_that_predicts_otherwise_is_refused(
    prepared: PreparedFolder, tiny_qwen3: Path, monkeypatch, share_history
):
    loaded = random_loaded_model(prepared, tiny_qwen3)
    scoring = loaded.config.scoring.model_copy(update={"share_history": share_history})
    loaded = replace(loaded, config=loaded.config.model_copy(update={"scoring": scoring}))
    other = AutoModelForCausalLM.from_pretrained(tiny_qwen3)  # without the adapter
    monkeypatch.setattr(predictor_module, "merged_copy", lambda _: other)
    with raises_error(ModelError, "merge_not_exact", where="scoring.merge_adapter"):
        Predictor(loaded)
