"""``reeltune train --dry-run``: everything a run would do first, with nothing left on disk."""

from __future__ import annotations

import time

import numpy as np
import torch
import yaml

from reeltune.config import Config, config_tree
from reeltune.data.folder import PreparedFolder
from reeltune.models.causal import causal_of, head_of, pad_id_of
from reeltune.prompts.rows import ANSWER_TOKENS, TokenRows
from reeltune.runs.environment import peak_memory
from reeltune.runs.log import LOGGER, logging_to
from reeltune.scoring.scorer import compute_context
from reeltune.training.cache import INPUT_IDS, LIKED
from reeltune.training.collate import IGNORED, AnswerCollator
from reeltune.training.memory import estimate_memory
from reeltune.training.setup import (
    RowSource,
    TunableModel,
    load_tunable,
    open_data,
    refuse_undefined_metric,
)
from reeltune.training.trainer import answer_loss


def dry_run(config: Config) -> None:
    """Show what a run would use and do one step forward and backward.

    Raises:
        ReeltuneError: Whatever the run itself would have stopped at before its first step.
    """
    with logging_to(None):
        LOGGER.info("configuration:\n%s", yaml.safe_dump(config_tree(config), sort_keys=False))
        folder, settings = open_data(config)
        _say_data(folder)
        tunable = load_tunable(config)
        source = RowSource(config, folder, settings, tunable.base)
        rows = source.rows(source.train_request)
        eval_rows = source.rows(source.eval_request)
        refuse_undefined_metric(eval_rows, config.train.metric_for_best_model)
        _say_rows("train", rows, config.data.max_length)
        _say_rows("validation", eval_rows, config.data.max_length)
        _say_example(rows, tunable)
        _one_step(config, rows, tunable)
        LOGGER.info("nothing was written")


def _say_data(folder: PreparedFolder) -> None:
    counts = folder.meta["counts"]
    LOGGER.info("data: %s, %s", folder.path, folder.meta["edition"])
    LOGGER.info("counts: %s", ", ".join(f"{name} {value}" for name, value in counts.items()))


def _say_rows(name: str, rows: TokenRows, max_length: int) -> None:
    lengths = rows.prompts.lengths + ANSWER_TOKENS
    LOGGER.info(
        "%s: %d rows, tokens min %d, mean %.0f, max %d (data.max_length %d), %.1f %% Yes",
        name,
        len(rows),
        lengths.min(),
        lengths.mean(),
        lengths.max(),
        max_length,
        100 * rows.liked.mean(),
    )


def _say_example(rows: TokenRows, tunable: TunableModel) -> None:
    tokenizer, answers = tunable.base.tokenizer, tunable.answers
    prompt = tokenizer.decode(rows.prompts[0].tolist())
    answer = tokenizer.decode([answers.of(bool(rows.liked[0])), answers.end])
    LOGGER.info("one example, the trained tokens between >>> and <<<:\n%s>>>%s<<<", prompt, answer)


def _one_step(config: Config, rows: TokenRows, tunable: TunableModel) -> None:
    """Run the longest batch forward and backward, so that memory that suffices here suffices."""
    size = min(config.train.batch_size, len(rows))
    longest = np.argsort(-rows.prompts.lengths, kind="stable")[:size]
    collate = AnswerCollator(tunable.answers, pad_id_of(tunable.base.tokenizer))
    batch = collate(
        [{INPUT_IDS: rows.prompts[int(row)], LIKED: rows.liked[row]} for row in longest]
    )
    labelled = int((batch["labels"] != IGNORED).sum())
    model = tunable.model
    if config.train.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    estimate = estimate_memory(
        model, batch["input_ids"].numel(), labelled, config.train.activation_checkpointing
    )
    LOGGER.info(
        "memory of one step, estimated: %.2f GiB (weights %.2f, adapter with gradients and "
        "optimizer %.2f, activations %.2f, head %.2f)",
        estimate.total,
        estimate.weights,
        estimate.adapter,
        estimate.activations,
        estimate.head,
    )
    model.train()
    batch = {name: tensor.to(tunable.base.choices.device.value) for name, tensor in batch.items()}
    began = time.monotonic()
    with compute_context(model):
        loss, _ = answer_loss(model, head_of(causal_of(model)), batch)
    (loss / labelled).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    LOGGER.info(
        "one step on the %d longest rows: loss %.4f, gradient norm %.3f, %.1f s with warm-up, "
        "peak memory %s",
        size,
        loss.item() / labelled,
        float(norm),
        time.monotonic() - began,
        peak_memory(),
    )
