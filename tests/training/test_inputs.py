"""The inputs of a trainer: gradient checkpointing is on where activations exceed the memory."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from reeltune.models.choices import Choice
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.prompts.rows import train_rows
from reeltune.runs import environment
from reeltune.runs.environment import free_memory, hardware, peak_memory
from reeltune.training import inputs
from reeltune.training.collate import ROW, Collator, fullest_batch, tokens_held
from reeltune.training.inputs import (
    build_collator,
    choose_checkpointing,
    estimate_step_memory,
    trainer_inputs,
)
from reeltune.training.trainer import trainer_arguments
from tests.runs import tiny_config


@pytest.fixture(scope="module")
def ready(tiny_qwen3, prepared, tmp_path_factory) -> tuple[LoadedModel, Collator]:
    """A model with ``train.gradient_checkpointing=auto``, and its collator."""
    work = tmp_path_factory.mktemp("ready")
    config = tiny_config(tiny_qwen3, prepared.path, work, train__gradient_checkpointing="auto")
    loaded = load_model(config, trainable=True)
    return loaded, build_collator(loaded, loaded.select(train_rows(config)).rows)


def choice_with(ready: Any, gib: float, monkeypatch: pytest.MonkeyPatch) -> Choice[bool]:
    """Return the choice with so much memory free."""
    monkeypatch.setattr(inputs, "free_memory", lambda _: gib)
    loaded, collator = ready
    return choose_checkpointing(loaded, fullest_batch(collator, loaded.config.train.batch_size))


def needed(ready: Any) -> float:
    """Return the memory of a step on the fullest batch without checkpointing, in GiB."""
    loaded, collator = ready
    batch = fullest_batch(collator, loaded.config.train.batch_size)
    return estimate_step_memory(loaded, batch, checkpointing=False).step


def test_checkpointing_is_off_up_to_a_share_of_the_free_memory(ready, monkeypatch):
    least = needed(ready) / 0.7
    assert choice_with(ready, least * 1.01, monkeypatch).value is False
    assert choice_with(ready, least * 0.99, monkeypatch).value is True


def test_the_reason_names_needed_and_free_memory(ready, monkeypatch):
    choice = choice_with(ready, 12.34, monkeypatch)
    assert re.findall(r"[\d.]+(?= GiB)", choice.reason) == [f"{needed(ready):.1f}", "12.3"]


def test_sharded_weights_are_counted_before_they_are_there(ready, monkeypatch):
    loaded, collator = ready
    batch = fullest_batch(collator, loaded.config.train.batch_size)
    estimate = estimate_step_memory(loaded, batch, checkpointing=False)
    monkeypatch.setattr(inputs, "process_state", lambda: SimpleNamespace(num_processes=4))
    least = estimate.step / 0.7
    for share, value in ((0.2, True), (0.3, False)):
        gib = least + share * estimate.weights
        assert choice_with(ready, gib, monkeypatch).value is False
        monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
        assert choice_with(ready, gib, monkeypatch).value is value
        monkeypatch.delenv("ACCELERATE_USE_FSDP")


@pytest.mark.parametrize("checkpointing", [True, False])
def test_no_activations_are_held_below_the_adapter(
    checkpointing: bool, ready, tiny_qwen3, prepared, tmp_path
):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, lora__top_layers=0.5)
    loaded, batch = load_model(config, trainable=True), fullest_batch(ready[1], 1)
    half, every = (
        estimate_step_memory(each, batch, checkpointing=checkpointing)
        for each in (loaded, ready[0])
    )
    assert half.adapter == pytest.approx(every.adapter / 2)
    if checkpointing:  # one layer's activations, and one input instead of two
        assert 0 < every.activations - half.activations < half.activations
    else:
        assert half.activations == pytest.approx(every.activations / 2)


@pytest.mark.parametrize("configured", [True, False])
def test_a_configured_value_is_used(configured: bool, ready, monkeypatch):
    loaded, collator = ready
    section = loaded.config.train.model_copy(update={"gradient_checkpointing": configured})
    config = loaded.config.model_copy(update={"train": section})
    for gib in (0.0, 1000.0):
        choice = choice_with((replace(loaded, config=config), collator), gib, monkeypatch)
        assert (choice.value, choice.reason) == (configured, "configured")


def test_the_trainer_uses_the_choice(ready, tmp_path, monkeypatch):
    loaded, _ = ready
    rows = loaded.select(train_rows(loaded.config)).rows
    for gib, recomputed in ((0.0, True), (1000.0, False)):
        monkeypatch.setattr(inputs, "free_memory", lambda _, gib=gib: gib)
        arguments = trainer_arguments(trainer_inputs(loaded, rows, rows), tmp_path)
        assert arguments.gradient_checkpointing is recomputed


def test_no_batch_has_more_tokens_than_the_fullest(ready):
    _, collator = ready
    every = [tokens_held(collator([{ROW: row}])) for row in range(len(collator))]
    assert tokens_held(fullest_batch(collator, 1)) == max(every)
    assert min(every) < max(every)


def test_free_memory_is_at_most_all_memory():
    assert 0 < free_memory(torch.device("cpu")) <= hardware()["memory_gib"]


def test_peak_memory_is_in_gib(monkeypatch: pytest.MonkeyPatch):
    """A process with torch takes more than 50 MiB, and no more than the machine has."""
    with monkeypatch.context() as patch:  # as on macOS and Windows
        patch.setattr(environment, "_LINUX_STATUS", Path("nowhere"))
        assert 0.05 < peak_memory()["resident_gib"] <= hardware()["memory_gib"]
    before = peak_memory()["resident_gib"]
    assert 0.05 < before <= hardware()["memory_gib"]
    held = torch.ones(2**26)  # 256 MiB, written
    assert before <= peak_memory()["resident_gib"] <= before + 0.5
    del held


@pytest.mark.gpu
def test_free_memory_of_a_gpu_shrinks_by_an_allocation():
    device = torch.device("cuda")
    before = free_memory(device)
    held = torch.ones(2**28, device=device)  # 1 GiB
    assert before - free_memory(device) == pytest.approx(1, abs=0.2)
    del held
