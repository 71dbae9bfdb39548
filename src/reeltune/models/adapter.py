"""Load a trained adapter from its folder alone; all of it must fit the model."""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear, LoraModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import PreTrainedModel

from reeltune.config import Config
from reeltune.data.folder import TIMELINES_FILE
from reeltune.errors import ModelError, first_line
from reeltune.files import file_digest
from reeltune.locks import shared
from reeltune.models.causal_lm import causal_of, head_of
from reeltune.models.load import PEFT_ERRORS, BaseModel, changes_base
from reeltune.models.pretrained import (
    check_safetensors,
    is_json_object,
    no_hub,
    refuse_damaged,
)
from reeltune.runs.environment import free_memory
from reeltune.runs.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, RunFolder, flat_config
from reeltune.runs.log import LOGGER

_OF_THE_BASE: Final = ("base_model_name_or_path", "revision")
_SHAPE: Final = ("lora.r", "lora.alpha", "lora.target_modules", "lora.top_layers", "lora.extra")


def load_adapter(base: BaseModel, adapter: Path) -> PeftModel:
    """Put a trained adapter on a base model, frozen, in evaluation mode.

    Raises:
        ModelError: Its files are missing, damaged, not those of its run, or do not fit the model.
    """
    options, tensors = _read_recorded(adapter)
    options |= {"inference_mode": True, _OF_THE_BASE[0]: base.model.name_or_path}
    try:
        model = get_peft_model(base.model, LoraConfig.from_peft_type(**options))
    except PEFT_ERRORS as error:
        raise _does_not_fit(adapter, first_line(error)) from error
    assert isinstance(model, PeftModel)
    refuse_unfit(model, tensors, adapter)
    set_peft_model_state_dict(model, tensors)
    return model.eval()


def merged_copy(model: PreTrainedModel | PeftModel) -> PreTrainedModel | None:
    """Return the base model with the adapter added to copies of the weights it changes.

    All other weights are those of ``model``, which stays as it is. None unless the adapter is
    plain LoRA without biases on linear layers in float32 on the CPU: merging then changes rounding.
    None, with a warning, if the copies would take more than half of the free memory.
    """
    if not isinstance(model, PeftModel) or model.device.type != "cpu":
        return None
    layers = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    plain = all(
        type(layer) is Linear and not layer.lora_variant and not any(layer.lora_bias.values())
        for layer in layers
    )
    if not plain or head_of(causal_of(model)) in layers or model.dtype != torch.float32:
        return None
    size = sum(w.nbytes for layer in layers for w in layer.get_base_layer().parameters()) / 2**30
    free = free_memory(model.device)
    if size > free / 2:
        LOGGER.warning(
            "scoring.merge_adapter: %.2f GiB of copies for %.2f GiB of free memory, so the adapter "
            "stays apart and predictions take longer",
            *(size, free),
        )
        return None
    copied = copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})
    for layer in copied.modules():
        if isinstance(layer, BaseTunerLayer):
            base: Any = layer.get_base_layer()
            for name, weight in base.named_parameters():  # merging changes them in place
                setattr(base, name, torch.nn.Parameter(weight.detach().clone(), False))
    merged = cast("LoraModel", copied.base_model).merge_and_unload()
    return cast("PreTrainedModel", merged)


def refuse_other_lora(config: Config, start: Path, timelines: str) -> None:
    """Refuse to begin a run with an adapter of another shape, or of timelines with another SHA-256.

    Raises:
        RunError: ``not_a_run``.
        ModelError: ``init_from_differs``, naming the keys; or ``init_from_other_data``.
    """
    run = RunFolder(start)
    trained, wanted = flat_config(run.config()), flat_config(config)
    if differing := [name for name in _SHAPE if trained[name] != wanted[name]]:
        values = ((name, *(json.dumps(of[name]) for of in (trained, wanted))) for name in differing)
        raise ModelError(
            "this adapter has another shape than the configured one: "
            + ", ".join(f"{name} {there} and not {here}" for name, there, here in values),
            code="init_from_differs",
            where=str(start),
            hint="Use "
            + " ".join(f"--set {name}='{json.dumps(trained[name])}'" for name in differing)
            + ", or train that run again with the settings of this one",
        )
    if run.record()["data"]["files"][TIMELINES_FILE]["sha256"] != timelines:
        raise ModelError(
            f"this adapter learned from another {TIMELINES_FILE}: what is held out here may have "
            "been a training row there",
            code="init_from_other_data",
            where=str(start),
            hint="Train that run on data.prepared_dir, too",
        )
    _read_recorded(start)  # that of an unfinished run is refused before the base model is loaded


def continue_from(model: PeftModel, start: Path) -> None:
    """Give a new adapter the weights of a trained one.

    Raises:
        ModelError: Its files are missing, damaged, not those of its run, or do not fit.
    """
    with shared(start):  # not while a training writes it
        _, tensors = _read_recorded(start)
    refuse_unfit(model, tensors, start)
    set_peft_model_state_dict(model, tensors)
    LOGGER.info("the adapter begins with the weights of %s (lora.init_from)", start)


def _read_recorded(adapter: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return options and weights; refuse others than those its ``run.json`` has digests of."""
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
    return options, tensors


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
