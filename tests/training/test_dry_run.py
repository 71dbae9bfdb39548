"""A dry run shows what a run would do, and leaves nothing behind."""

from __future__ import annotations

import re

import pytest

from reeltune.errors import LengthError
from reeltune.training.dry_run import dry_run
from tests.runs import tiny_config


@pytest.mark.parametrize(
    ("layout", "form", "loss"),
    [
        ("blocks", "window", "answer"),
        ("blocks", "interview", "yes_no"),
        ("single", "window", "answer"),
    ],
)
def test_a_dry_run_shows_everything_and_writes_nothing(
    layout, form, loss, tiny_qwen3, prepared, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    changes = {
        "train__share_history": layout == "blocks",
        "prompt__form": form,
        "train__loss": loss,
    }
    changes["prompt__signals"] = "[recent]"
    dry_run(tiny_config(tiny_qwen3, prepared.path, tmp_path, **changes))
    shown = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    for expected in (
        "learning_rate: 0.01",
        "counts: ",
        f"train: 64 rows in {64 if layout == 'single' else 12} sequences, ",
        "trainable parameters: ",
        "memory of one step, estimated",
        "one step on the 4 fullest rows: loss ",
    ):
        assert expected in shown
    trained = shown.rpartition(">>>")[2].partition("<<<")[0]
    assert trained in ("Yes<|im_end|>", "No<|im_end|>")


def test_a_block_that_fits_no_packed_row_is_found_before_training(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, train__pack_length=128)
    with pytest.raises(LengthError, match=r"train\.pack_length"):
        dry_run(config)


@pytest.mark.parametrize("layout", ["blocks", "single"])
def test_a_dry_run_with_gradient_checkpointing_shows_the_same_step(
    layout, tiny_qwen3, prepared, tmp_path, capsys
):
    def step(checkpointing: bool) -> str:
        changes = {
            "train__share_history": layout == "blocks",
            "train__gradient_checkpointing": checkpointing,
        }
        dry_run(tiny_config(tiny_qwen3, prepared.path, tmp_path, lora__dropout=0, **changes))
        shown = re.search(r"loss [\d.]+, gradient norm [\d.]+", capsys.readouterr().out)
        assert shown is not None
        return shown.group()

    assert step(True) == step(False)
