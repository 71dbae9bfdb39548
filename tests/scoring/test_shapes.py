"""Models of any shape either share histories exactly or are refused with the setting that works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form
from reeltune.errors import ModelError
from reeltune.models.choices import switch_off_dropout
from reeltune.prompts.sequences import Sequences
from tests.errors import raises_error
from tests.helpers import write_prepared
from tests.scoring.sharing import (
    FORMS,
    SharingCase,
    check_gradients,
    check_predictions,
    drawn,
    sharing_case,
)

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 448,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ROTARY = SMALL | {"num_key_value_heads": 2, "intermediate_size": 64}
GPT2 = SMALL | {"n_positions": 4096}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "head_dim": 4,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
}

EXACT: list[tuple[str, dict[str, Any]]] = [
    ("GPTNeoXForCausalLM", SMALL | {"intermediate_size": 64, "max_position_embeddings": 4096}),
    ("OPTForCausalLM", SMALL | {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    ("Gemma3ForCausalLM", ROTARY | {"head_dim": 8, "query_pre_attn_scalar": 8}),
    ("Qwen3MoeForCausalLM", ROTARY | EXPERTS | {"num_experts": 4, "head_dim": 8}),
    ("DeepseekV3ForCausalLM", ROTARY | LATENT | EXPERTS),
]
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("BloomForCausalLM", SMALL, "ALiBi"),
    ("FalconForCausalLM", SMALL | {"alibi": True}, "ALiBi"),
    ("MambaForCausalLM", SMALL | {"state_size": 8}, "linear_attention"),
    ("Lfm2ForCausalLM", ROTARY | {"layer_types": ["conv", "full_attention"]}, "conv"),
    (
        "RecurrentGemmaForCausalLM",
        ROTARY | {"block_types": ["recurrent", "attention"], "lru_width": 32},
        "1 of 2 layers",
    ),
    ("Gemma2ForCausalLM", ROTARY | {"head_dim": 8, "query_pre_attn_scalar": 8}, "softcap"),
    ("GptOssForCausalLM", ROTARY | {"head_dim": 8, "num_local_experts": 4}, "s_aux"),
    ("NemotronForCausalLM", ROTARY | {"head_dim": 8}, "visible"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> PreparedFolder:
    path = tmp_path_factory.mktemp("shapes") / "prepared"
    return PreparedFolder.open(write_prepared(path, users=4, items=60, events=30))


def built(name: str, options: dict[str, Any]) -> PreTrainedModel:
    """Return a model of a class of transformers with random weights."""
    cls = getattr(transformers, name)
    torch.manual_seed(0)
    return cls(cls.config_class(**options))


def case_of(
    model: PreTrainedModel, folder: PreparedFolder, tokenizer: Path, form: Form
) -> SharingCase:
    """Return a model with an adapter, both with random weights."""
    targets = ["in_proj"] if model.config.model_type == "mamba" else "all-linear"
    return sharing_case(folder, drawn(model, targets=targets), tokenizer, form)


def typed(model: PreTrainedModel, dtype: torch.dtype) -> Any:
    """Return a model without adapter in a number type."""
    return torch.nn.Module.to(model, dtype).eval()


def own_log_odds(case: SharingCase, sequences: Sequences) -> np.ndarray:
    """The log-odds of each prompt alone, from the model's own logits."""
    answers, found = case.tokens.answers, []
    for prompt in sequences.alone():
        with torch.no_grad():
            logits = case.model(input_ids=torch.tensor([prompt.tolist()])).logits[0, -1].double()
        found.append((logits[answers.yes] - logits[answers.no]).item())
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EXACT, ids=[name for name, _ in EXACT])
def test_histories_are_shared_exactly(name, options, folder, tiny_llama):
    case = case_of(built(name, options), folder, tiny_llama, "window")
    sequences = case.rows(5, 10, 0).sequences
    case.scorer(5000).check(sequences, packed=True)
    expected = own_log_odds(case, sequences)
    np.testing.assert_allclose(case.scorer(5000).score(sequences).log_odds, expected, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "reason"), REFUSED, ids=[row[0] for row in REFUSED])
def test_other_attention_is_refused_by_name_and_the_remedy_works(
    name, options, reason, folder, tiny_llama
):
    """Interviews have no branches, and yet their rows are packed."""
    case = case_of(built(name, options), folder, tiny_llama, "interview")
    sequences = case.rows(5, 10, 0).sequences
    setting = "scoring.share_history to false and train.pairwise_weight to 0"
    figures = [name.removesuffix("ForCausalLM"), reason, setting]
    with raises_error(ModelError, "histories_not_shareable", figures=figures):
        case.scorer(5000).check(sequences)
    plain = Sequences.single(sequences.alone())
    with raises_error(ModelError, "histories_not_shareable", figures=figures):
        case.scorer(5000).check(plain, packed=True)
    case.scorer(5000).check(plain)
    expected = own_log_odds(case, sequences)
    np.testing.assert_allclose(case.scorer(5000).score(plain).log_odds, expected, atol=2e-5)


def test_the_reason_does_not_depend_on_the_size_of_the_difference(folder, tiny_llama):
    """In 16 bits small random weights give differences below the rounding that is allowed."""
    for name, options, reason in REFUSED[:2]:
        model = typed(built(name, options), torch.bfloat16)
        case = sharing_case(folder, model, tiny_llama, "window")
        with raises_error(ModelError, "histories_not_shareable", figures=[reason]):
            case.scorer(5000).check(case.rows(5, 10, 0).sequences)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_reads_later_tokens_is_refused(dtype, folder, tiny_llama):
    bert = built("BertLMHeadModel", SMALL | {"max_position_embeddings": 4096})
    case = sharing_case(folder, typed(bert, dtype), tiny_llama, "window")
    plain = Sequences.single(case.rows(5, 5, 0).sequences.alone())
    with raises_error(ModelError, "not_a_causal_model", figures=["BertLMHeadModel"]):
        case.scorer(5000).check(plain)


def test_prompts_beyond_a_table_of_positions_are_refused(folder, tiny_llama):
    case = case_of(built("GPT2LMHeadModel", GPT2), folder, tiny_llama, "window")
    plain = Sequences.single(case.rows(5, 5, 0).sequences.alone())
    longest = int(plain.prompt_lengths.max())
    case.model.config.n_positions = longest
    case.scorer(5000).check(plain)
    case.model.config.n_positions = longest - 1
    figures = ["GPT2LMHeadModel", longest - 1, longest]
    with raises_error(ModelError, "too_few_positions", figures=figures):
        case.scorer(5000).check(plain)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_gpt2_with_its_own_dropout_learns_from_shared_histories_exactly(form, folder, tiny_llama):
    config = GPT2Config.from_dict(GPT2)
    rates = (config.attn_pdrop, config.embd_pdrop, config.resid_pdrop)
    assert all(rate > 0 for rate in rates)
    choice = switch_off_dropout(config)
    assert choice is not None
    for name, rate in zip(("attn_pdrop", "embd_pdrop", "resid_pdrop"), rates, strict=True):
        assert f"{name} {rate}" in choice.reason
    assert switch_off_dropout(config) is None
    torch.manual_seed(0)
    case = case_of(GPT2LMHeadModel(config), folder, tiny_llama, form)
    case.model.train()
    case.scorer(2000).check(case.rows(7, 20, 0).sequences)
    check_gradients(case, case.rows(3, 20, 0, answered=True), end=True, rtol=2e-5)
    check_predictions(case, case.rows(3, 10, 0).sequences, atol=2e-6)


def test_the_check_runs_without_dropout(folder, tiny_llama):
    case = case_of(built("GPT2LMHeadModel", GPT2), folder, tiny_llama, "window")
    case.model.train()
    case.scorer(5000).check(case.rows(5, 10, 0).sequences)
    assert case.model.training
