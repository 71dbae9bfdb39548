"""Activations are kept where a step fits into free memory, unless told otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from reeltune.models.choices import Choice
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.prompts.rows import train_rows
from reeltune.runs.environment import free_memory, hardware
from reeltune.training import memory
from reeltune.training.build import build_collator, trainer_arguments, trainer_inputs
from reeltune.training.collate import ROW, Collator, fullest_batch, tokens_held
from reeltune.training.memory import choose_checkpointing, estimate_memory
from tests.runs import tiny_config


@pytest.fixture(scope="module")
def ready(tiny_qwen3, prepared, tmp_path_factory) -> tuple[LoadedModel, Collator]:
    """A configuration that decides by itself, with its model and what makes its batches."""
    work = tmp_path_factory.mktemp("ready")
    config = tiny_config(tiny_qwen3, prepared.path, work, train__gradient_checkpointing="auto")
    loaded = load_model(config, trainable=True)
    return loaded, build_collator(loaded, loaded.select(train_rows(config)).rows)


def chosen(ready: Any, gib: float, monkeypatch: pytest.MonkeyPatch) -> Choice[bool]:
    """Return what is chosen with so much memory free."""
    monkeypatch.setattr(memory, "free_memory", lambda _: gib)
    loaded, collator = ready
    return choose_checkpointing(loaded, fullest_batch(collator, loaded.config.train.batch_size))


def needed(ready: Any) -> float:
    """Return what keeping the activations of the fullest batch takes, in GiB."""
    loaded, collator = ready
    batch = fullest_batch(collator, loaded.config.train.batch_size)
    held, labelled = tokens_held(batch), batch["labels"].numel()
    return estimate_memory(loaded.peft_model, held, labelled, checkpointing=False).step


def test_activations_are_kept_up_to_a_share_of_what_is_free(ready, monkeypatch):
    least = needed(ready) / 0.7
    assert chosen(ready, least * 1.01, monkeypatch).value is False
    assert chosen(ready, least * 0.99, monkeypatch).value is True


def test_the_reason_names_what_it_takes_and_what_is_free(ready, monkeypatch):
    choice = chosen(ready, 12.34, monkeypatch)
    assert f"about {needed(ready):.1f} GiB; 12.3 GiB" in choice.reason


@pytest.mark.parametrize("asked", [True, False])
def test_what_is_asked_for_is_done(asked: bool, ready, monkeypatch):
    loaded, collator = ready
    section = loaded.config.train.model_copy(update={"gradient_checkpointing": asked})
    config = loaded.config.model_copy(update={"train": section})
    loaded = replace(loaded, config=config)
    for gib in (0.0, 1000.0):
        choice = chosen((loaded, collator), gib, monkeypatch)
        assert (choice.value, choice.reason) == (asked, "configured")


def test_no_batch_is_fuller(ready):
    _, collator = ready
    every = [tokens_held(collator([{ROW: row}])) for row in range(len(collator))]
    assert tokens_held(fullest_batch(collator, 1)) == max(every)
    assert min(every) < max(every)


def test_the_trainer_does_what_was_chosen(ready, tmp_path, monkeypatch):
    loaded, _ = ready
    rows = loaded.select(train_rows(loaded.config)).rows
    for gib, recomputed in ((0.0, True), (1000.0, False)):
        monkeypatch.setattr(memory, "free_memory", lambda _, gib=gib: gib)
        inputs = trainer_inputs(loaded, rows, rows)
        found = trainer_arguments(inputs, tmp_path).gradient_checkpointing
        assert found is recomputed


def test_free_memory_is_part_of_the_machines():
    assert 0 < free_memory(torch.device("cpu")) <= hardware()["memory_gib"]


@pytest.mark.gpu
def test_free_memory_of_a_gpu_shrinks_by_what_is_held():
    device = torch.device("cuda")
    before = free_memory(device)
    held = torch.ones(2**28, device=device)  # 1 GiB
    assert before - free_memory(device) == pytest.approx(1, abs=0.2)
    del held
