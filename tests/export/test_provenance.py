"""The base of a training is read from the run's record."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reeltune.domain import PromptSettings
from reeltune.export.provenance import AdapterOrigin
from reeltune.models.choices import Choice, ModelChoices
from reeltune.models.prompt_record import PromptRecord

PROMPT = PromptRecord(PromptSettings(), history_len=5, base_model="some/model")


def origin(run: dict | None) -> AdapterOrigin:
    return AdapterOrigin(Path("run"), PROMPT, run, None)


@pytest.mark.parametrize("four_bit", [True, False])
def test_choices_are_read_as_a_run_writes_them(four_bit):
    choices = ModelChoices(
        device=Choice(torch.device("cuda", 0), "NVIDIA (any): one"),
        dtype=Choice(torch.bfloat16, "the processor has bfloat16 instructions"),
        attention=Choice("sdpa", "PyTorch's own: fused (fast)"),
        four_bit=Choice(four_bit, "QLoRA, nf4, as asked for"),
    )
    assert origin({"choices": list(choices.describe())}).four_bit is four_bit


@pytest.mark.parametrize("run", [None, {}, {"choices": []}])
def test_without_a_record_it_is_unknown(run):
    assert origin(run).four_bit is None
