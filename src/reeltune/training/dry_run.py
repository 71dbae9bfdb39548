"""``reeltune train --dry-run``: everything a run does before its second step, writing nothing."""

from __future__ import annotations

import time

import numpy as np
import torch
import yaml
from accelerate.utils import send_to_device

from reeltune.config import Config, config_tree
from reeltune.data.columns import TRAIN, VALIDATION
from reeltune.extras import require
from reeltune.models.choices import fsdp_not_supported, is_sharded
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.prompts.rows import TokenRows, train_rows, validation_rows
from reeltune.runs.environment import peak_memory
from reeltune.runs.log import LOGGER, logging_to, quiet_libraries
from reeltune.scoring.scorer import Scorer, compute_context
from reeltune.signals.folder import open_prepared
from reeltune.training.collate import Batch, fullest_batch
from reeltune.training.inputs import (
    TrainerInputs,
    describe_checkpointing,
    estimate_step_memory,
    log_rows,
    refuse_undefined_metric,
    trainer_inputs,
)
from reeltune.training.loss import answer_loss, attention_of


def dry_run(config: Config) -> None:
    """Log what a run would use and do one step forward and backward.

    Raises:
        ReeltuneError: As the run itself before its first step.
    """
    if is_sharded():
        raise fsdp_not_supported("a dry run has one process", "Run it without accelerate launch")
    for tracker in config.train.report_to:
        require(tracker)
    with logging_to(None), quiet_libraries():
        LOGGER.info("configuration:\n%s", yaml.safe_dump(config_tree(config), sort_keys=False))
        folder = open_prepared(config, use_cache=False)
        counts = ", ".join(f"{name} {value}" for name, value in folder.meta["counts"].items())
        LOGGER.info("data: %s, %s", folder.path, folder.meta["edition"])
        LOGGER.info("counts: %s", counts)
        loaded = load_model(config, trainable=True, folder=folder)
        rows = loaded.select(train_rows(config)).rows
        eval_rows = loaded.select(validation_rows(config)).rows
        refuse_undefined_metric(eval_rows, config.train.metric_for_best_model)
        log_rows(loaded, TRAIN, rows)
        log_rows(loaded, VALIDATION, eval_rows)
        _log_example(rows, loaded)
        scorer = Scorer(loaded.model, loaded.answers, config.scoring.tokens_per_batch)
        for checked in (rows, eval_rows):
            scorer.check(checked.sequences, packed=config.train.share_history)
        _one_step(trainer_inputs(loaded, rows, eval_rows), scorer)
        LOGGER.info("nothing was written")


def _log_example(rows: TokenRows, loaded: LoadedModel) -> None:
    tokenizer, answers = loaded.base.tokenizer, loaded.answers
    prompt = tokenizer.decode(rows.sequences.take(np.arange(1)).alone()[0].tolist())
    answer = tokenizer.decode([answers.of(bool(rows.liked[0])), answers.end])
    LOGGER.info("one example, the trained tokens between >>> and <<<:\n%s>>>%s<<<", prompt, answer)


def forward_backward(loaded: LoadedModel, scorer: Scorer, batch: Batch) -> float:
    """Run a batch on the model's device forward and backward, as a training step does.

    Returns:
        The loss summed over the batch; gradients are of its mean per label.
    """
    model, weight = loaded.peft_model, loaded.config.train.pairwise_weight
    with attention_of(scorer.head, batch):
        with compute_context(model):
            loss, _ = answer_loss(model, scorer.head, batch, loaded.answers, weight)
        (loss / batch["labels"].numel()).backward()
    return loss.item()


def _one_step(inputs: TrainerInputs, scorer: Scorer) -> None:
    """Run the fullest batch forward and backward: memory that suffices for it suffices."""
    loaded, section = inputs.loaded, inputs.loaded.config.train
    size = min(section.batch_size, len(inputs.collator))
    batch = fullest_batch(inputs.collator, size)
    labelled = batch["labels"].numel()
    model, recomputed = loaded.peft_model, inputs.checkpointing.value
    LOGGER.info(describe_checkpointing(inputs.checkpointing))
    if recomputed:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    estimate = estimate_step_memory(loaded, batch, checkpointing=recomputed)
    LOGGER.info(
        "memory of one step, estimated: %.2f GiB (weights %.2f, adapter with gradients and "
        "optimizer %.2f, activations %.2f, head %.2f)",
        estimate.weights + estimate.step,
        estimate.weights,
        estimate.adapter,
        estimate.activations,
        estimate.head,
    )
    model.train()
    batch = dict(send_to_device(batch, loaded.device))
    began = time.monotonic()
    loss = forward_backward(loaded, scorer, batch)
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    LOGGER.info(
        "one step on the %d fullest rows: loss %.4f, gradient norm %.3f, %.1f s with warm-up, "
        "peak memory %s",
        size,
        loss / labelled,
        float(norm),
        time.monotonic() - began,
        peak_memory(),
    )
