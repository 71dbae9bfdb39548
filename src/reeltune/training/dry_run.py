"""``reeltune train --dry-run``: everything a run would do first, with nothing left on disk."""

from __future__ import annotations

import time

import numpy as np
import torch
import yaml
from accelerate.utils import send_to_device

from reeltune.config import Config, config_tree
from reeltune.data.folder import PreparedFolder
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.prompts.rows import ANSWER_TOKENS, TokenRows, train_rows
from reeltune.runs.environment import peak_memory
from reeltune.runs.log import LOGGER, logging_to
from reeltune.scoring.head import AnswerHead
from reeltune.scoring.scorer import Scorer, compute_context
from reeltune.signals.folder import open_prepared
from reeltune.training.build import build_collator
from reeltune.training.collate import fullest_batch, tokens_held
from reeltune.training.loss import answer_loss, attention_of
from reeltune.training.memory import (
    choose_checkpointing,
    describe_checkpointing,
    estimate_memory,
)
from reeltune.training.setup import (
    refuse_undefined_metric,
    validation_rows,
)


def dry_run(config: Config) -> None:
    """Show what a run would use and do one step forward and backward.

    Raises:
        ReeltuneError: Whatever the run itself would have stopped at before its first step.
    """
    with logging_to(None):
        LOGGER.info("configuration:\n%s", yaml.safe_dump(config_tree(config), sort_keys=False))
        folder = open_prepared(config, use_cache=False)
        _say_data(folder)
        loaded = load_model(config, trainable=True, folder=folder)
        rows = loaded.select(train_rows(config)).rows
        eval_rows = loaded.select(validation_rows(config)).rows
        refuse_undefined_metric(eval_rows, config.train.metric_for_best_model)
        _say_rows("train", rows, config.data.max_length)
        _say_rows("validation", eval_rows, config.data.max_length)
        _say_example(rows, loaded)
        scorer = Scorer(loaded.model, loaded.answers, config.scoring.tokens_per_batch)
        for some in (rows, eval_rows):
            scorer.check(some.sequences)
        _one_step(rows, loaded)
        LOGGER.info("nothing was written")


def _say_data(folder: PreparedFolder) -> None:
    counts = folder.meta["counts"]
    LOGGER.info("data: %s, %s", folder.path, folder.meta["edition"])
    LOGGER.info("counts: %s", ", ".join(f"{name} {value}" for name, value in counts.items()))


def _say_rows(name: str, rows: TokenRows, max_length: int) -> None:
    lengths = rows.sequences.prompt_lengths + ANSWER_TOKENS
    LOGGER.info(
        "%s: %d rows in %d sequences, %.1f tokens read for each; as single prompts min %d, mean "
        "%.0f, max %d tokens (data.max_length %d); %.1f %% Yes",
        name,
        len(rows),
        len(rows.sequences),
        len(rows.sequences.ids.values) / len(rows),
        lengths.min(),
        lengths.mean(),
        lengths.max(),
        max_length,
        100 * rows.liked.mean(),
    )


def _say_example(rows: TokenRows, loaded: LoadedModel) -> None:
    tokenizer, answers = loaded.base.tokenizer, loaded.answers
    prompt = tokenizer.decode(rows.sequences.take(np.arange(1)).alone()[0].tolist())
    answer = tokenizer.decode([answers.of(bool(rows.liked[0])), answers.end])
    LOGGER.info("one example, the trained tokens between >>> and <<<:\n%s>>>%s<<<", prompt, answer)


def _one_step(rows: TokenRows, loaded: LoadedModel) -> None:
    """Run the fullest batch forward and backward, so that memory that suffices here suffices."""
    config = loaded.config
    collator = build_collator(loaded, rows)
    size = min(config.train.batch_size, len(collator))
    batch = fullest_batch(collator, size)
    labelled = batch["labels"].numel()
    model = loaded.peft_model
    checkpointing = choose_checkpointing(loaded, batch)
    LOGGER.info("%s", describe_checkpointing(checkpointing))
    if checkpointing.value:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    estimate = estimate_memory(model, tokens_held(batch), labelled, checkpointing.value)
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
    batch = dict(send_to_device(batch, loaded.device))
    began = time.monotonic()
    head = AnswerHead(model)
    with attention_of(head, batch):
        with compute_context(model):
            weight = config.train.pairwise_weight
            loss, _ = answer_loss(model, head, batch, loaded.answers, weight)
        (loss / labelled).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    LOGGER.info(
        "one step on the %d fullest rows: loss %.4f, gradient norm %.3f, %.1f s with warm-up, "
        "peak memory %s",
        size,
        loss.item() / labelled,
        float(norm),
        time.monotonic() - began,
        peak_memory(),
    )
