"""Exact sharing: a prediction does not depend on what shares its history, its row or its batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from reeltune.attention.shared import NAME, shared_attention
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.errors import ModelError
from reeltune.prompts.sequences import NO_BRANCH, Sequences
from reeltune.ragged import Ragged
from reeltune.scoring.predictor import Query, score_queries
from tests.errors import raises_error
from tests.helpers import write_prepared
from tests.scoring.sharing import (
    FORMS,
    SharingCase,
    check_gradients,
    check_predictions,
    drawn,
    drawn_model,
    sharing_case,
)

# Examples of a block, how many examples, seed of the sample.
BLOCKS = ((7, 20, 0), (3, 10, 1), (40, 24, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> PreparedFolder:
    path = tmp_path_factory.mktemp("sharing") / "prepared"
    return PreparedFolder.open(write_prepared(path, users=4, items=60, events=30))


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def model(request: pytest.FixtureRequest) -> tuple[Path, PeftModel]:
    path = request.getfixturevalue(f"tiny_{request.param}")
    return path, drawn_model(path)


@pytest.fixture(scope="module", params=FORMS)
def case(request: pytest.FixtureRequest, folder, model) -> SharingCase:
    path, drawn = model
    return sharing_case(folder, drawn, path, request.param)


@pytest.fixture(scope="module")
def windows(folder, model) -> SharingCase:
    path, drawn = model
    return sharing_case(folder, drawn, path, "window")


def changed(sequences: Sequences, row: int, place: int) -> Sequences:
    """The same sequences with another token at one place."""
    ids = Ragged(sequences.ids.values.copy(), sequences.ids.offsets)
    ids[row][place] += 1 if ids[row][place] < 300 else -1
    return replace(sequences, ids=ids)


@pytest.mark.slow
@pytest.mark.parametrize(("targets", "limit", "seed"), BLOCKS)
def test_predictions_equal_those_of_the_prompts_alone(case, targets, limit, seed):
    check_predictions(case, case.rows(targets, limit, seed).sequences, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_blocks_that_begin_without_history_are_exact_too(model, form, tmp_path):
    path, drawn = model
    data = write_prepared(tmp_path / "cold", users=6, events=20, history_len=2, min_history=0)
    case = sharing_case(PreparedFolder.open(data), drawn, path, form)
    rows = case.rows(4, None, 0, answered=True)
    examples = case.folder.examples("train")
    assert (examples.start == examples.target).sum() == 6
    check_predictions(case, case.rows(4, None, 0).sequences, atol=2e-6)
    check_gradients(case, rows, True, rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("end", [True, False])
def test_gradients_equal_those_of_the_prompts_alone(case, end):
    check_gradients(case, case.rows(3, 20, 0, answered=True), end, rtol=2e-5)


def test_a_branch_is_seen_by_its_own_prediction_alone(windows):
    sequences = windows.rows(7, 14, 0).sequences
    scorer = windows.scorer(5000)
    before = scorer.score(sequences).log_odds
    for prediction in range(sequences.answer_count):
        row = int(sequences.row[prediction])
        other = changed(sequences, row, int(sequences.branch[prediction]) + 1)
        differing = np.flatnonzero(scorer.score(other).log_odds != before)
        assert differing.tolist() == [prediction]


def test_an_event_of_the_history_is_seen_by_the_predictions_behind_it(case):
    sequences = case.rows(7, 7, 0).sequences.take(np.array([0]))
    place = int(sequences.leave[2]) - 3
    after = case.scorer(5000).score(changed(sequences, 0, place)).log_odds
    before = case.scorer(5000).score(sequences).log_odds
    assert ((after != before) == (sequences.leave > place)).all()
    assert not (sequences.leave > place).all()


@pytest.mark.slow
def test_candidates_of_one_history_are_predicted_as_if_alone(case):
    history = History.from_timelines(case.folder.timelines, range(3, 12))
    candidates = np.arange(0, 60, 4)
    prompts = case.tokens.candidate_prompts(history, candidates)
    expected = case.scorer(1).score(Sequences.single(prompts)).p_yes
    assert expected.std() > 0.01
    for tokens_per_batch in (1, 700, 100_000):
        scorer = case.scorer(tokens_per_batch)
        (found,) = score_queries(scorer, case.tokens, [Query(history, candidates)])
        np.testing.assert_allclose(found.p_yes, expected, rtol=0, atol=2e-6)


def test_another_history_gives_every_candidate_another_prediction(case):
    history = History.from_timelines(case.folder.timelines, range(3, 12))
    rating = history.rating.copy()
    rating[2] = 1.0 if rating[2] > 2 else 5.0
    predictions = [
        score_queries(case.scorer(2000), case.tokens, [Query(one, np.arange(9))])[0]
        for one in (history, History(history.item_idx, rating))
    ]
    assert (predictions[0].log_odds != predictions[1].log_odds).all()


def test_models_that_share_exactly_pass_the_check(case):
    case.scorer(2000).check(case.rows(7, 20, 0).sequences)
    case.scorer(2000).check(Sequences.single(case.rows(7, 5, 0).sequences.alone()))


def causal_over_the_row(module, query, key, value, attention_mask, *, scaling, **other):
    """Plain causal attention, in which branches see each other."""
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    out = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling
    )
    return out.transpose(1, 2), None


def test_a_model_with_its_own_attention_is_refused(windows, monkeypatch):
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, NAME, causal_over_the_row)
    sequences = windows.rows(7, 20, 0).sequences
    assert (sequences.branch != NO_BRANCH).all()
    with raises_error(ModelError, "histories_not_shareable", figures=["train.share_history"]):
        windows.scorer(2000).check(sequences)
    # One prompt to a row needs none of it.
    windows.scorer(2000).check(Sequences.single(sequences.alone()))


@pytest.mark.parametrize("form", FORMS)
def test_a_model_with_a_short_sliding_window_is_refused(folder, tiny_qwen3, form):
    """Independently of dtype and of the length of the checked prompts."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen3)
    config = MistralConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        vocab_size=len(tokenizer),
        bos_token_id=None,
        eos_token_id=None,
    )
    case = sharing_case(folder, drawn(MistralForCausalLM(config)), tiny_qwen3, form)
    sequences = case.rows(7, 20, 0).sequences
    longest = int(sequences.prompt_lengths.max())
    case.model.config.sliding_window = longest - 1
    with raises_error(
        ModelError,
        "attention_window_too_short",
        figures=["MistralForCausalLM", longest - 1, longest],
    ):
        case.scorer(2000).check(sequences)
    case.model.config.sliding_window = longest
    case.scorer(2000).check(sequences)


@pytest.mark.parametrize(
    "given",
    [
        {"visible": [], "softcap": 0.5},
        {"visible": [], "s_aux": torch.zeros(4)},
        {"visible": [], "position_bias": torch.ones(1, 4, 2, 2)},
        {"visible": [], "dropout": 0.5},
        {},
    ],
    ids=lambda given: list(given)[-1] if given else "no visibility",
)
def test_unsupported_attention_variants_are_refused(given):
    nothing = torch.zeros(1, 1, 1, 1)
    with raises_error(
        ModelError, "histories_not_shareable", figures=["Linear", "train.pairwise_weight to 0"]
    ):
        shared_attention(torch.nn.Linear(1, 1), nothing, nothing, nothing, None, **given)
