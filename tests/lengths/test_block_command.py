"""``reeltune lengths`` where examples share their histories."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.attention.packing import TILE, whole_tiles
from reeltune.config import load_config
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form, PromptSettings
from reeltune.errors import LengthError
from reeltune.lengths.blocks import block_lengths, describe_packing, rows_read
from reeltune.lengths.measure import prompt_tokens
from tests.helpers import chat_tokenizer
from tests.lengths.command import SPLITS, run
from tests.prompts.build import FORMS


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
        assert f"{split} in blocks of up to 4: {len(held.prompts)} prompts, lengths in" in out
        assert f"p100 {longest}  p0 {shortest}\n  longer than data.max_length 2048: 0" in out
    held = block_lengths(prepared, tokens, rows_read(resolved, "train"))
    assert len(held.prompts) == 30
    assert f"blocks of up to 4: {len(held.sequences)} sequences, lengths in tokens" in out
    longest, shortest = held.sequences.max(), held.sequences.min()
    assert f"p100 {longest}  p0 {shortest}\n  longer than train.pack_length 8192: 0" in out
    ratio = held.per_verdict_alone / held.per_verdict
    assert f"read for each verdict: {held.per_verdict:.1f} tokens" in out
    assert f"alone: {held.per_verdict_alone:.1f} tokens, {ratio:.1f} times as many" in out
    packing = describe_packing(held.sequences, 8192)
    assert f"packed: {packing.rows} rows of 8192 tokens, {packing.filled:.1%} filled" in out
    assert "every prompt fits in data.max_length 2048, every block in train.pack_length" in out


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
    (line,) = err.strip().splitlines()
    exceeding = sum(int((one.prompts + 2 == longest).sum()) for one in held)
    assert line.startswith(f"error: data.max_length: {exceeding} prompts exceed {longest - 1}")
    assert f"to at least {longest}, lower train.block_size, or prepare with" in line


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
    (line,) = err.strip().splitlines()
    assert line.startswith("error: train.pack_length: ")
    assert f"Set train.pack_length to at least {admitting}, or lower train.block_size" in line
