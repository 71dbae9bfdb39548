"""Records of adapters trained by earlier versions stay readable."""

from __future__ import annotations

import json
from pathlib import Path

from reeltune.models.prompt_record import (
    PROMPT_FILE,
    read_prompt_record,
    refuse_other_tokenizer,
)
from reeltune.runs.folder import RUN_FILE, RunFolder
from tests.helpers import chat_tokenizer

SETTINGS = {
    "threshold": 4.0,
    "scale_min": 0.5,
    "scale_max": 5.0,
    "genres": True,
    "form": "interview",
    "evidence": ["film", "user"],
    "version": "5",
}
TRAIN = {"block_targets": 60, "activation_checkpointing": False, "layout": "single"}


def test_a_prompt_record_with_the_old_key_evidence_is_read(tmp_path: Path):
    record = {"settings": SETTINGS, "history_len": 15, "base_model": "Qwen/Qwen3-0.6B"}
    (tmp_path / PROMPT_FILE).write_text(json.dumps(record))
    prompt = read_prompt_record(tmp_path)
    assert (prompt.settings.form, prompt.settings.version) == ("interview", "5")
    assert prompt.settings.signals == ("item", "user")
    assert (prompt.history_len, prompt.base_model) == (15, "Qwen/Qwen3-0.6B")
    assert (prompt.frame_sha256, prompt.tokens_sha256, prompt.template_date) == (None, None, None)
    refuse_other_tokenizer(tmp_path, chat_tokenizer())


def test_a_run_record_with_old_keys_is_read_under_the_present_ones(tmp_path: Path):
    config = {"prompt": {"evidence": ["film", "user"]}, "train": TRAIN}
    (tmp_path / RUN_FILE).write_text(json.dumps({"status": "finished", "config": config}))
    read = RunFolder(tmp_path).config()
    assert read.train.block_size == 60
    assert (read.train.gradient_checkpointing, read.train.share_history) == (False, False)
    assert read.prompt.signals == ("item", "user")
