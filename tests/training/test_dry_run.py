"""A dry run does one step of a run and writes nothing."""

from __future__ import annotations

import re

import pytest

from reeltune.errors import ConfigError, LengthError
from reeltune.training.dry_run import dry_run
from tests.errors import raises_error
from tests.runs import tiny_config


def step_of(shown: str) -> dict[str, float]:
    """Return loss and gradient norm of the step."""
    figures = re.findall(r"\b(loss|gradient norm) ([\d.]+)", shown.rpartition("one step")[2])
    assert [name for name, _ in figures] == ["loss", "gradient norm"]
    return {name: float(value) for name, value in figures}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "form", "loss"),
    [
        ("blocks", "window", "answer"),
        ("blocks", "interview", "yes_no"),
        ("single", "window", "answer"),
    ],
)
def test_a_dry_run_does_one_step_and_writes_nothing(
    layout, form, loss, tiny_qwen3, prepared, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    changes = {
        "train__share_history": layout == "blocks",
        "prompt__form": form,
        "prompt__signals": "[recent]",
        "train__loss": loss,
    }
    dry_run(tiny_config(tiny_qwen3, prepared.path, tmp_path, **changes))
    shown = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert "learning_rate: 0.01" in shown
    counts = re.search(r"^train rows: (\d+) of (\d+) in (\d+) ", shown, flags=re.MULTILINE)
    assert counts is not None
    sequences = 64 if layout == "single" else 12
    assert [int(n) for n in counts.groups()] == [64, len(prepared.examples("train")), sequences]
    assert step_of(shown)["loss"] > 0
    trained = shown.rpartition(">>>")[2].partition("<<<")[0]
    assert trained in ("Yes<|im_end|>", "No<|im_end|>")


def test_a_dry_run_with_fsdp_is_refused(tiny_qwen3, prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with raises_error(ConfigError, "fsdp_not_supported", figures=["dry run"]):
        dry_run(tiny_config(tiny_qwen3, prepared.path, tmp_path))


def test_a_block_longer_than_a_packed_row_is_refused(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, train__pack_length=128)
    with raises_error(LengthError, "sequence_too_long", where="train.pack_length", figures=[128]):
        dry_run(config)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["blocks", "single"])
def test_gradient_checkpointing_leaves_the_step_unchanged(
    layout, tiny_qwen3, prepared, tmp_path, capsys
):
    def step(checkpointing: bool) -> dict[str, float]:
        changes = {
            "train__share_history": layout == "blocks",
            "train__gradient_checkpointing": checkpointing,
        }
        dry_run(tiny_config(tiny_qwen3, prepared.path, tmp_path, lora__dropout=0, **changes))
        shown = capsys.readouterr().out
        assert f"gradient checkpointing: {'on' if checkpointing else 'off'} (configured)" in shown
        return step_of(shown)

    assert step(True) == step(False)
