"""Loading of base models and adapters, and the prompt record."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import transformers
from peft.tuners.lora import LoraLayer

from reeltune.domain import PromptSettings
from reeltune.errors import ConfigError, ModelError
from reeltune.models.adapter import load_adapter
from reeltune.models.causal_lm import causal_of, decoder_layers, head_of
from reeltune.models.choices import make_choices
from reeltune.models.load import adapter_config, add_adapter, load_base, parameter_counts
from reeltune.models.loaded_model import load_model
from reeltune.models.pretrained import load_tokenizer
from reeltune.models.prompt_record import (
    PROMPT_FILE,
    PromptRecord,
    read_prompt_record,
    refuse_other_prompt,
    refuse_other_tokenizer,
    write_prompt_record,
)
from tests.errors import raises_error
from tests.helpers import chat_tokenizer
from tests.runs import tiny_config


def load(model: Path, prepared, tmp_path: Path, **changes):
    config = tiny_config(model, prepared.path, tmp_path, **changes)
    return config, load_base(config, make_choices(config))


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_the_adapter_sits_on_every_linear_layer_and_never_on_the_head(
    kind, request, prepared, tmp_path
):
    folder = request.getfixturevalue(f"tiny_{kind}")
    config, base = load(folder, prepared, tmp_path)
    linear = {
        name for name, module in base.model.named_modules() if isinstance(module, torch.nn.Linear)
    }
    model = add_adapter(base, config)
    adapted = {
        name.removeprefix("base_model.model.").rpartition(".lora_A")[0]
        for name, _ in model.named_modules()
        if name.endswith("lora_A.default")
    }
    assert adapted == linear - {"lm_head"}
    causal = causal_of(model)
    assert head_of(causal).weight is causal.get_input_embeddings().weight
    assert not any(
        p.requires_grad for name, p in model.named_parameters() if "embed" in name or "head" in name
    )
    trainable, total = parameter_counts(model)
    assert trainable == sum(p.numel() for p in model.parameters() if p.requires_grad) < total


def test_an_adapter_names_the_revision_of_its_base(tiny_qwen3, prepared, tmp_path):
    config, base = load(tiny_qwen3, prepared, tmp_path)
    pinned = config.model_copy(update={"model": config.model.model_copy(update={"revision": "v1"})})
    assert add_adapter(base, pinned).peft_config["default"].revision == "v1"


def test_equal_seeds_give_equal_adapters(tiny_qwen3, prepared, tmp_path):
    def first_weights(seed):
        config, base = load(tiny_qwen3, prepared, tmp_path, train__seed=seed)
        return [
            p.detach().clone() for p in add_adapter(base, config).parameters() if p.requires_grad
        ]

    for one, same in zip(first_weights(3), first_weights(3), strict=True):
        assert torch.equal(one, same)
    assert any(
        not torch.equal(one, other)
        for one, other in zip(first_weights(3), first_weights(4), strict=True)
    )


@pytest.mark.parametrize(
    ("extra", "code", "figure"),
    [
        ({"use_dorra": True}, "unknown_lora_option", "use_dora"),
        ({"bias": "all"}, "lora_option_not_allowed", "bias"),
        ({"init_lora_weights": "pissa_niter_4"}, "lora_option_not_allowed", "pissa_niter_4"),
        ({"init_lora_weights": "foo"}, "lora_option_refused", "foo"),
        ({"rank_pattern": 3}, "lora_option_refused", "int"),
        ({"layers_to_transform": [0]}, "lora_option_refused", "layers_to_transform"),
    ],
)
def test_wrong_lora_options_are_refused(extra, code, figure, tiny_qwen3, prepared, tmp_path):
    config, base = load(tiny_qwen3, prepared, tmp_path, lora__extra=json.dumps(extra))
    with raises_error(ConfigError, code, where="lora.extra", figures=[figure]):
        add_adapter(base, config)


def test_missing_layers_are_named_beside_lora_options(tiny_qwen3, prepared, tmp_path):
    changes = {"lora__extra": "{use_dora: true}", "lora__target_modules": "[absent]"}
    config, base = load(tiny_qwen3, prepared, tmp_path, **changes)
    with raises_error(ConfigError, "no_target_modules", figures=["absent"]):
        add_adapter(base, config)


def test_layers_that_the_model_lacks_are_named_beside_its_modules(tiny_qwen3, prepared, tmp_path):
    changes = {
        "lora__extra": "{layers_to_transform: [5]}",
        "lora__target_modules": "[q_proj, down_proj]",
    }
    config, base = load(tiny_qwen3, prepared, tmp_path, **changes)
    figures = ["layers_to_transform", "[5]", "correct lora.extra.layers_to_transform"]
    with raises_error(ConfigError, "no_target_modules", figures=figures):
        add_adapter(base, config)


def test_lora_options_reach_peft(tiny_qwen3, prepared, tmp_path):
    extra = {"use_rslora": True, "rank_pattern": {"q_proj": 2}}
    config, base = load(tiny_qwen3, prepared, tmp_path, lora__extra=json.dumps(extra))
    adapter = add_adapter(base, config)
    layers = [m for m in adapter.modules() if isinstance(m, LoraLayer)]
    assert {layer.r["default"] for layer in layers} == {2, 4}
    # rsLoRA divides by the root of the rank.
    assert all(layer.scaling["default"] == 8 / layer.r["default"] ** 0.5 for layer in layers)


def test_a_missing_model_names_what_to_do(prepared, tmp_path):
    with raises_error(
        ModelError, "model_not_found", where="nobody/nothing-here", figures=["model.name_or_path"]
    ):
        load(Path("nobody/nothing-here"), prepared, tmp_path)


def test_an_incomplete_folder_is_an_error(prepared, tmp_path):
    (tmp_path / "empty").mkdir()
    with raises_error(ModelError, "model_folder_incomplete", where="empty"):
        load_tokenizer(str(tmp_path / "empty"))


def test_a_folder_without_adapter(tiny_qwen3, prepared, tmp_path):
    _, base = load(tiny_qwen3, prepared, tmp_path)
    with raises_error(ModelError, "adapter_not_found", where=str(tmp_path)):
        load_adapter(base, tmp_path)


def test_an_adapter_of_another_model_is_refused(tiny_qwen3, prepared, tmp_path):
    config, base = load(tiny_qwen3, prepared, tmp_path)
    adapter = add_adapter(base, config)
    state = {name: p.repeat(2, 1) for name, p in adapter.named_parameters() if "lora_A" in name}
    adapter.save_pretrained(tmp_path / "adapter", state_dict=state)
    _, fresh = load(tiny_qwen3, prepared, tmp_path)
    with raises_error(ModelError, "adapter_does_not_fit", where="adapter"):
        load_adapter(fresh, tmp_path / "adapter")


RECORD = PromptRecord(PromptSettings(threshold=3.5), history_len=7, base_model="some/model")


def test_the_prompt_of_training_is_accepted(tmp_path):
    write_prompt_record(tmp_path, RECORD)
    refuse_other_prompt(tmp_path, RECORD.settings, 7)


def test_another_prompt_is_refused_by_name(tmp_path):
    write_prompt_record(tmp_path, RECORD)
    with raises_error(
        ModelError, "other_prompt", figures=["threshold", 3.5, 4.0, "history_len", 7, 15]
    ):
        refuse_other_prompt(tmp_path, replace(RECORD.settings, threshold=4.0), 15)


def test_another_prompt_version_is_refused(tmp_path):
    write_prompt_record(tmp_path, RECORD)
    file = tmp_path / PROMPT_FILE
    values = json.loads(file.read_text())
    values["settings"]["version"] = "0"
    file.write_text(json.dumps(values))
    with raises_error(ModelError, "other_prompt_version", where=PROMPT_FILE, figures=[0, 5]):
        refuse_other_prompt(tmp_path, RECORD.settings, 7)


def test_an_adapter_with_unknown_prompt_is_refused(tmp_path):
    with raises_error(ModelError, "prompt_record_missing", figures=[PROMPT_FILE]):
        refuse_other_prompt(tmp_path, RECORD.settings, 7)


@pytest.mark.parametrize(
    "content",
    [
        *(
            "",
            "[]",
            "{}",
            "\x00",
            "[" * 100_000,
            '{"settings": {"version": "5"}}',
            '{"settings": []}',
        ),
        json.dumps(asdict(replace(RECORD, min_history="few"))),
    ],
)
def test_a_damaged_record_is_named(content, tmp_path):
    (tmp_path / PROMPT_FILE).write_text(content)
    with raises_error(ModelError, "prompt_record_damaged", where=PROMPT_FILE):
        read_prompt_record(tmp_path)


@pytest.mark.parametrize("least", [None, 0, 3])
def test_the_record_holds_the_shortest_history_if_known(least, tmp_path):
    write_prompt_record(tmp_path, replace(RECORD, min_history=least))
    assert read_prompt_record(tmp_path).min_history == least


@pytest.mark.parametrize("form", ["window", "interview"])
def test_another_template_or_tokenizer_than_in_training_is_refused(form, tmp_path):
    settings = PromptSettings(form=form)
    write_prompt_record(tmp_path, PromptRecord.of(settings, 5, "base", chat_tokenizer()))
    refuse_other_tokenizer(tmp_path, chat_tokenizer())
    changed = chat_tokenizer()
    changed.chat_template = "System default." + str(changed.chat_template)
    with raises_error(ModelError, "other_chat_template"):
        refuse_other_tokenizer(tmp_path, changed)
    changed = chat_tokenizer()
    changed.add_tokens(["[FILM]"])
    with raises_error(ModelError, "other_tokenizer"):
        refuse_other_tokenizer(tmp_path, changed)


def test_the_record_names_the_date_that_the_template_writes(tmp_path):
    tokenizer = chat_tokenizer()
    assert PromptRecord.of(PromptSettings(), 5, "base", tokenizer).template_date is None
    tokenizer.chat_template = "{{ strftime_now('%d %B %Y') }}" + str(tokenizer.chat_template)
    write_prompt_record(tmp_path, PromptRecord.of(PromptSettings(), 5, "base", tokenizer))
    assert read_prompt_record(tmp_path).template_date == "2024-07-26"


def saved(folder: Path, name: str, **options) -> Path:
    """Save a random model of a class of transformers with a chat tokenizer."""
    cls = getattr(transformers, name)
    cls(cls.config_class(vocab_size=448, **options)).save_pretrained(folder)
    chat_tokenizer("llama").save_pretrained(folder)
    return folder


LLAMA = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
LLAMA |= {"num_attention_heads": 2, "num_key_value_heads": 2}
GPT2 = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}


def edit_config(folder: Path, **values) -> None:
    config = json.loads((folder / "config.json").read_text()) | values
    (folder / "config.json").write_text(json.dumps(config))


def test_an_encoder_decoder_is_no_causal_model(prepared, tmp_path):
    small = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    folder = saved(tmp_path / "t5", "T5ForConditionalGeneration", **small)
    with raises_error(
        ModelError, "not_a_causal_model", where="t5", figures=["T5ForConditionalGeneration"]
    ):
        load(folder, prepared, tmp_path)


def test_a_classifier_has_no_head_for_tokens(prepared, tmp_path):
    folder = saved(tmp_path / "classifier", "LlamaForSequenceClassification", **LLAMA)
    figures = ["lm_head.weight", "LlamaForSequenceClassification", "model.name_or_path"]
    with raises_error(ModelError, "weights_missing", where="classifier", figures=figures):
        load(folder, prepared, tmp_path)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"model_type": "not_yet_known"}, "unknown_architecture"),
        (
            {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}},
            "model_needs_its_own_code",
        ),
        ({"hidden_size": "many"}, "model_folder_incomplete"),
        ({"hidden_size": 24}, "weights_missing"),
    ],
)
def test_what_is_wrong_with_a_config_is_told_apart(values, code, prepared, tmp_path):
    folder = saved(tmp_path / "llama", "LlamaForCausalLM", **LLAMA)
    edit_config(folder, **values)
    with raises_error(ModelError, code, where="llama"):
        load(folder, prepared, tmp_path)


def test_a_model_without_fused_attention_is_loaded_with_its_own(prepared, tmp_path):
    small = {"d_model": 16, "n_layers": 1, "n_heads": 2}
    folder = saved(tmp_path / "mpt", "MptForCausalLM", **small)
    _, base = load(folder, prepared, tmp_path)
    assert base.choices.attention.value == "eager"
    with raises_error(ModelError, "attention_not_supported", figures=["model.attention"]):
        load(folder, prepared, tmp_path, model__attention="sdpa")


@pytest.mark.parametrize(
    ("share", "layers"), [(1e-12, {"2"}), (0.3, {"2"}), (0.5, {"1", "2"}), (1, {"0", "1", "2"})]
)
@pytest.mark.parametrize("name", ["LlamaForCausalLM", "GPT2LMHeadModel"])
def test_the_top_layers_get_an_adapter(share, layers, name, prepared, tmp_path):
    options = LLAMA | {"num_hidden_layers": 3} if name[0] == "L" else GPT2 | {"n_layer": 3}
    config, base = load(
        saved(tmp_path / "model", name, **options), prepared, tmp_path, lora__top_layers=share
    )
    names = [name for name, p in add_adapter(base, config).named_parameters() if p.requires_grad]
    found = {re.search(r"\.(?:layers|h)\.(\d)\.(.+)\.lora_", each).groups() for each in names}
    assert {layer for layer, _ in found} == layers
    of_each = {layer: {each for at, each in found if at == layer} for layer in layers}
    assert all(modules == of_each["2"] for modules in of_each.values())
    assert len(of_each["2"]) == (7 if name[0] == "L" else 4)


def test_a_share_of_whole_layers_is_not_rounded_up(prepared, tmp_path):
    folder = saved(tmp_path / "llama", "LlamaForCausalLM", **LLAMA | {"num_hidden_layers": 30})
    config, base = load(folder, prepared, tmp_path, lora__top_layers=0.1)
    assert adapter_config(config, base.model).layers_to_transform == [27, 28, 29]


@pytest.mark.parametrize("name", ["OPTForCausalLM", "FalconForCausalLM", "MambaForCausalLM"])
def test_decoder_layers_are_found(name):
    cls = getattr(transformers, name)
    sizes = {"vocab_size": 8, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
    causal = cls(cls.config_class(**sizes))
    attribute, layers = decoder_layers(causal, "")
    assert attribute in ("layers", "h")
    assert len(layers) == 2


def test_experts_need_all_layers(prepared, tmp_path):
    options = LLAMA | {"num_hidden_layers": 2, "num_experts": 2, "moe_intermediate_size": 8}
    folder = saved(tmp_path / "moe", "Qwen3MoeForCausalLM", **options)
    config, base = load(folder, prepared, tmp_path, lora__top_layers=0.5)
    with raises_error(
        ConfigError, "experts_in_all_layers", where="lora.top_layers", figures=["to 1"]
    ):
        add_adapter(base, config)
    adapter = add_adapter(*reversed(load(folder, prepared, tmp_path)))
    assert any("experts" in name for name, p in adapter.named_parameters() if p.requires_grad)


def test_layers_that_a_model_has_are_named(prepared, tmp_path):
    folder = saved(tmp_path / "gpt2", "GPT2LMHeadModel", **GPT2)
    config, base = load(folder, prepared, tmp_path, lora__target_modules="[q_proj]")
    assert not base.model.config.attn_pdrop
    with raises_error(ConfigError, "no_target_modules", figures=["[c_attn, c_fc, c_proj]"]):
        add_adapter(base, config)
    config, base = load(folder, prepared, tmp_path, lora__target_modules="[c_attn, c_fc, c_proj]")
    add_adapter(base, config)


def test_layers_that_cannot_be_adapted_are_not_named(prepared, tmp_path):
    small = {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4}
    folder = saved(tmp_path / "mamba", "MambaForCausalLM", **small)
    config, base = load(folder, prepared, tmp_path)
    with raises_error(ConfigError, "no_target_modules", figures=["[dt_proj, in_proj, x_proj]"]):
        add_adapter(base, config)
    config, base = load(folder, prepared, tmp_path, lora__target_modules="[dt_proj, in_proj]")
    add_adapter(base, config)


def test_a_padding_token_beyond_the_vocabulary_is_refused(prepared, tmp_path):
    folder = saved(tmp_path / "gpt2", "GPT2LMHeadModel", **GPT2 | {"n_positions": 4096})
    tokenizer = load_tokenizer(str(folder))
    tokenizer.add_tokens([f"<extra{i}>" for i in range(448 - len(tokenizer))])
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(folder)
    config = tiny_config(folder, prepared.path, tmp_path)
    with raises_error(ModelError, "vocabulary_too_small", figures=["<pad>", 448, "pad_token"]):
        _ = load_model(config).tokens
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    assert load_model(config).tokens
