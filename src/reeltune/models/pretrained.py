"""Load models and tokenizers by transformers: folders without the network, and never their code."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub import constants
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import find_adapter_config_file

from reeltune.errors import ModelError, first_line
from reeltune.files import read_object
from reeltune.models.base_identity import is_path, refuse_missing_folder

_LFS_POINTER: Final = b"version https://git-lfs"

# What transformers writes about models whose files are complete: a phrase, code and remedy.
_CAUSES: Final = (
    ("attention implementation", "attention_not_supported", "Set model.attention to auto"),
    ("Flash Attention", "attention_not_supported", "Set model.attention to auto"),
    (
        "trust_remote_code",
        "model_needs_its_own_code",
        "Use a model that transformers implements; no other code of models is run",
    ),
    (
        "does not recognize this architecture",
        "unknown_architecture",
        "Upgrade transformers, or set model.name_or_path to another model",
    ),
)


def load_tokenizer(name_or_path: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load a tokenizer from a folder or the hub, with padding on the right."""
    tokenizer = from_pretrained(AutoTokenizer, name_or_path, revision)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id of the padding token, which is the end token by default."""
    pad_id = tokenizer.pad_token_id
    if not isinstance(pad_id, int):
        raise ModelError(
            "the tokenizer has no padding token",
            code="no_padding_token",
            where=str(tokenizer.name_or_path),
            hint="Set its pad_token",
        )
    return pad_id


def from_pretrained(auto: Any, name: str, revision: str | None = None, **options: Any) -> Any:
    """Load by a class of transformers from a folder, or from the hub if the name is no path.

    Raises:
        ModelError: It is missing, damaged, an adapter, or needs code of its own.
    """
    refuse_missing_folder(name, revision)
    local = is_path(name, revision)
    kind = "tokenizer" if auto is AutoTokenizer else "model"
    options |= {"revision": revision, "local_files_only": local}
    try:
        with no_hub() if local else contextlib.nullcontext():
            if kind == "model":
                _refuse_other_weights(name, revision, local)
            return auto.from_pretrained(name, trust_remote_code=False, **options)
    except ModelError:
        raise
    except Exception as error:  # tokenizers raises Exception itself
        raise _not_loadable(kind, name, error) from error


def _refuse_other_weights(name: str, revision: str | None, local: bool) -> None:
    """Refuse adapters, whose base would be loaded, and weights that are cut or elsewhere."""
    if find_adapter_config_file(name, revision=revision, local_files_only=local) is not None:
        raise ModelError(
            "an adapter, not a base model",
            code="base_is_an_adapter",
            where=name,
            hint="Set model.name_or_path to its base model, and give the adapter with --adapter",
        )
    for file in sorted(Path(name).glob("model*.safetensors")):
        check_safetensors(file)
    index = Path(name) / "model.safetensors.index.json"
    shards = json.loads(index.read_bytes())["weight_map"].values() if index.is_file() else ()
    if outside := [shard for shard in shards if Path(shard).name != shard]:
        raise ValueError(f"{index.name} names weights outside the folder, {outside[0]}")


@contextlib.contextmanager
def no_hub() -> Iterator[None]:
    """Refuse all requests of huggingface_hub in this process during the block."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def check_safetensors(file: Path) -> None:
    """Refuse a file that is cut, padded or not safetensors (``weights_damaged``)."""
    try:
        with safe_open(file, framework="pt"):
            return
    except SafetensorError as error:
        with file.open("rb") as stream:
            if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise damaged(str(file), "a Git LFS pointer, run git lfs pull") from error
        raise damaged(str(file), first_line(error)) from error


def refuse_damaged(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    """Refuse weights that are not finite, and matrices A of LoRA that are zero."""
    for name, tensor in tensors.items():
        weight = tensor.detach()
        if weight.element_size() in (1, 8):  # float8 has no minimum; float64 is rounded to float32
            weight = weight.float()
        if weight.numel() and not torch.stack(torch.aminmax(weight)).isfinite().all():
            raise damaged(where, f"{name} has values that are not finite")
        if ".lora_A." in name and not weight.any():
            raise damaged(where, f"{name} is zero, which training cannot make it")


def damaged(where: str, message: str) -> ModelError:
    """Return the error for weights that cannot be used."""
    return ModelError(
        f"the weights are damaged or incomplete ({message})",
        code="weights_damaged",
        where=where,
        hint="Copy or download them again",
    )


def _not_loadable(what: str, name: str, error: Exception) -> ModelError:
    """Return the error for a model or tokenizer that cannot be loaded."""
    message = f"the {what} cannot be loaded: {first_line(error)}"
    for phrase, code, hint in _CAUSES:
        if phrase in str(error):
            return ModelError(message, code=code, where=name, hint=hint)
    if Path(name).exists():
        bad = [str(file) for file in sorted(Path(name).glob("*.json")) if not is_json_object(file)]
        return ModelError(
            f"{bad[0]} is not a JSON object" if bad else message,
            code="model_folder_incomplete",
            where=name,
            hint="Copy config.json, the weights (*.safetensors) and the tokenizer's files again "
            "from where the model comes from",
        )
    return ModelError(
        message,
        code="model_not_found",
        where=name,
        hint="Check the name and the connection to the hub, or set model.name_or_path to a folder "
        "that holds the model (`reeltune fetch smollm2-135m` makes one without the hub). "
        "The base model of an adapter is named in its run.json",
    )


def is_json_object(file: Path) -> bool:
    """Return whether a file holds a JSON object."""
    with contextlib.suppress(ValueError):
        return read_object(file) is not None
    return False
