"""``reeltune lengths`` where examples share their histories."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reeltune.attention.packing import TILE, whole_tiles
from reeltune.config import load_config
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form, PromptSettings
from reeltune.errors import LengthError
from reeltune.lengths.measure import block_lengths, describe_packing, rows_read
from tests.errors import error_code
from tests.helpers import chat_tokenizer
from tests.lengths.command import SPLITS, run
from tests.prompts.build import FORMS, prompt_tokens


@pytest.mark.parametrize("form", FORMS)
def test_the_command_shows_what_blocks_hold(
    capsys: pytest.CaptureFixture[str], config: Path, prepared: PreparedFolder, form: Form
):
    override = (f"prompt.form={form}", "train.block_size=4", "data.max_train_examples=30")
    args = [part for value in override for part in ("--set", value)]
    code, out, _ = run(capsys, "--config", str(config), "--percentiles", "100,0", *args)
    assert code == 0
    tokens = prompt_tokens(prepared, PromptSettings(form=form), chat_tokenizer("qwen3"))
    resolved = load_config(config, override)
    for split in SPLITS:
        held = block_lengths(prepared, tokens, rows_read(resolved, split))
        longest, shortest = held.prompts.max() + 2, held.prompts.min() + 2
        assert f"{split} in blocks of up to 4: {len(held.prompts)} " in out
        assert f"p100 {longest}  p0 {shortest}\n  longer than data.max_length 2048: 0" in out
    held = block_lengths(prepared, tokens, rows_read(resolved, "train"))
    assert len(held.prompts) == 30
    assert f"blocks of up to 4: {len(held.sequences)} " in out
    longest, shortest = held.sequences.max(), held.sequences.min()
    assert f"p100 {longest}  p0 {shortest}\n  longer than train.pack_length 8192: 0" in out
    ratio = held.per_prediction_alone / held.per_prediction
    (line,) = (line for line in out.splitlines() if "per prediction" in line)
    shared, alone = held.per_prediction, held.per_prediction_alone
    assert re.findall(r"[\d.]+", line) == [f"{shared:.1f}", f"{alone:.1f}", f"{ratio:.1f}"]
    rows, filled = describe_packing(held.sequences, 8192)
    (line,) = (line for line in out.splitlines() if line.startswith("packed:"))
    assert re.findall(r"[\d.]+%?", line) == [f"{rows}", "8192", f"{filled:.1%}"]
    assert out.endswith("data.max_length 2048, every block in train.pack_length 8192\n")


@pytest.mark.parametrize("form", FORMS)
def test_a_limit_that_just_admits_the_longest_prompt_of_a_block(
    capsys: pytest.CaptureFixture[str], config: Path, prepared: PreparedFolder, form: Form
):
    tokens = prompt_tokens(prepared, PromptSettings(form=form), chat_tokenizer("qwen3"))
    resolved = load_config(config)
    held = [block_lengths(prepared, tokens, rows_read(resolved, s)) for s in SPLITS]
    longest = max(int(one.prompts.max()) for one in held) + 2
    args = ("--config", str(config), "--set", f"prompt.form={form}", "--set")
    assert run(capsys, *args, f"data.max_length={longest}")[0] == 0
    code, out, err = run(capsys, *args, f"data.max_length={longest - 1}")
    assert code == LengthError.exit_code
    assert f"in blocks of up to {resolved.train.block_size}" in out
    assert error_code(err) == "prompt_too_long"
    exceeding = sum(int((one.prompts + 2 == longest).sum()) for one in held)
    for figure in (f"data.max_length: {exceeding} ", longest - 1, longest, "train.block_size"):
        assert str(figure) in err


def test_held_out_rows_in_blocks_are_checked_even_where_training_has_none(
    capsys: pytest.CaptureFixture[str], config: Path, prepared: PreparedFolder
):
    tokens = prompt_tokens(prepared, PromptSettings(), chat_tokenizer("qwen3"))
    resolved = load_config(config)
    longest = max(
        int(block_lengths(prepared, tokens, rows_read(resolved, split)).prompts.max()) + 2
        for split in ("validation", "test")
    )
    args = ("--config", str(config), "--set", "train.share_history=false", "--set")
    assert run(capsys, *args, f"data.max_length={longest}")[0] == 0
    code, out, _ = run(capsys, *args, f"data.max_length={longest - 1}")
    assert code == LengthError.exit_code
    assert "packed" not in out
    assert "train in blocks" not in out


@pytest.mark.parametrize("form", FORMS)
def test_a_row_that_just_admits_the_longest_block(
    capsys: pytest.CaptureFixture[str], config: Path, prepared: PreparedFolder, form: Form
):
    tokens = prompt_tokens(prepared, PromptSettings(form=form), chat_tokenizer("qwen3"))
    held = block_lengths(prepared, tokens, rows_read(load_config(config), "train"))
    admitting = whole_tiles(int(held.sequences.max()))
    shorter = admitting - TILE
    args = ("--config", str(config), "--set", f"prompt.form={form}", "--set")
    assert run(capsys, *args, f"train.pack_length={admitting}")[0] == 0
    code, out, err = run(capsys, *args, f"train.pack_length={shorter}")
    assert code == LengthError.exit_code
    exceeding = int((held.sequences > shorter).sum())
    assert f"longer than train.pack_length {shorter}: {exceeding}" in out
    assert error_code(err) == "sequence_too_long"
    for figure in ("train.pack_length: ", admitting, "train.block_size"):
        assert str(figure) in err
