"""Load a trained adapter from its folder alone; all of it must fit the model."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file

from reeltune.errors import ModelError, first_line
from reeltune.files import file_digest
from reeltune.models.load import PEFT_ERRORS, BaseModel, changes_base
from reeltune.models.pretrained import (
    check_safetensors,
    is_json_object,
    no_hub,
    refuse_damaged,
)
from reeltune.runs.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, RunFolder

_OF_THE_BASE: Final = ("base_model_name_or_path", "revision")


def load_adapter(base: BaseModel, adapter: Path) -> PeftModel:
    """Put a trained adapter on a base model, frozen, in evaluation mode.

    Raises:
        ModelError: Its files are missing, damaged, not those of its run, or do not fit the model.
    """
    options, tensors = read_adapter(adapter)
    run = RunFolder(adapter)
    recorded = run.record().get("adapter", {}) if run.record_file.is_file() else {}
    record = adapter_record(adapter)
    if changed := [name for name in record if recorded.get(name, record[name]) != record[name]]:
        raise ModelError(
            "not the file that training wrote: its digest differs from that in run.json",
            code="adapter_differs",
            where=str(adapter / changed[0]),
            hint="Copy it again. To use it as it is, remove the entry adapter from run.json",
        )
    options |= {"inference_mode": True, _OF_THE_BASE[0]: base.model.name_or_path}
    try:
        model = get_peft_model(base.model, LoraConfig.from_peft_type(**options))
    except PEFT_ERRORS as error:
        raise _does_not_fit(adapter, first_line(error)) from error
    assert isinstance(model, PeftModel)
    refuse_unfit(model, tensors, adapter)
    set_peft_model_state_dict(model, tensors)
    return model.eval()


def adapter_record(adapter: Path) -> dict[str, str]:
    """Return the entry ``adapter`` of ``run.json``: digests of the weights and of the options."""
    options = json.loads((adapter / ADAPTER_CONFIG).read_bytes())
    kept = {name: options[name] for name in sorted(options) if name not in _OF_THE_BASE}
    return {
        ADAPTER_WEIGHTS: file_digest(adapter / ADAPTER_WEIGHTS),
        ADAPTER_CONFIG: hashlib.sha256(json.dumps(kept).encode()).hexdigest(),
    }


def read_adapter(adapter: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return options and weights of an adapter that leaves its base model as it is."""
    file, weights = adapter / ADAPTER_CONFIG, adapter / ADAPTER_WEIGHTS
    if missing := [path.name for path in (file, weights) if not path.is_file()]:
        raise ModelError(
            f"no adapter here: {missing[0]} is missing",
            code="adapter_not_found",
            where=str(adapter),
            hint="Run: reeltune train. Or copy the folder again: adapters are never downloaded",
        )
    options = json.loads(file.read_bytes()) if is_json_object(file) else {}
    kind = (options.get("peft_type"), options.get("task_type"))
    if kind != ("LORA", "CAUSAL_LM") or any(changes_base(*each) for each in options.items()):
        raise ModelError(
            "not the options of a LoRA adapter that leaves its base model as it is",
            code="adapter_config_invalid",
            where=str(file),
            hint="Copy the file again from where the adapter was trained",
        )
    check_safetensors(weights)
    tensors = load_file(weights)
    refuse_damaged(tensors, str(weights))
    return options, tensors


def refuse_unfit(model: PeftModel, tensors: Mapping[str, torch.Tensor], adapter: Path) -> None:
    """Refuse weights unless they are exactly those that the model's adapter has."""
    with no_hub(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = get_peft_model_state_dict(model)
    needed = {name: tuple(weight.shape) for name, weight in expected.items()}
    given = {name: tuple(t.shape) for name, t in tensors.items() if t.is_floating_point()}
    if wrong := sorted(dict(needed.items() ^ given.items())):
        raise _does_not_fit(
            adapter,
            f"{len(needed.items() & given.items())} of its {len(tensors)} weights fit, the model "
            f"needs {len(needed)} (first difference: {wrong[0]}, in the file "
            f"{given.get(wrong[0])}, in the model {needed.get(wrong[0])})",
        )


def _does_not_fit(adapter: Path, message: str) -> ModelError:
    return ModelError(
        f"the adapter does not fit this base model: {message}",
        code="adapter_does_not_fit",
        where=str(adapter),
        hint="Use the base model it was trained on, or copy the adapter again",
    )
