"""What a trainer is built from, and the choices that depend on the memory of one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel

from reeltune.config import Config
from reeltune.data.columns import TRAIN
from reeltune.errors import DataError
from reeltune.evaluation.metrics import measure
from reeltune.models.causal_lm import causal_of, find_decoder_layers, head_of
from reeltune.models.choices import Choice, is_sharded, process_state
from reeltune.models.load import parameter_counts
from reeltune.models.loaded_model import LoadedModel
from reeltune.models.pretrained import pad_id_of
from reeltune.prompts.rows import ANSWER_TOKENS, TokenRows, train_rows
from reeltune.runs.environment import free_memory
from reeltune.runs.log import LOGGER
from reeltune.training.collate import (
    Batch,
    Collator,
    Labels,
    PackCollator,
    PlainCollator,
    fullest_batch,
    tokens_held,
)

_GIB = 2**30
# An adapter weight in training: the weight, its gradient and Adam's two moments, 4 bytes each.
_BYTES_PER_TRAINABLE = 16

_FREE_SHARE: Final = 0.7
"""Share of the free memory that an estimated step may take: the estimate is rough."""

_METRIC_NEEDS: Final = {
    "eval_f1": "F1 needs a Yes",
    "eval_auc_per_user_mean": "an AUC within a user needs both answers of one user",
}


@dataclass(frozen=True)
class TrainerInputs:
    """The model with its trainable adapter, its rows, and how to batch them.

    Attributes:
        checkpointing: Whether the backward pass recomputes activations.
    """

    loaded: LoadedModel
    train_rows: TokenRows
    eval_rows: TokenRows
    collator: Collator
    checkpointing: Choice[bool]


def trainer_inputs(
    loaded: LoadedModel, train_rows: TokenRows, eval_rows: TokenRows
) -> TrainerInputs:
    """Make the collator and decide on gradient checkpointing.

    Raises:
        LengthError: A sequence is longer than a packed row.
    """
    collator = build_collator(loaded, train_rows)
    fullest = fullest_batch(collator, loaded.config.train.batch_size)
    checkpointing = choose_checkpointing(loaded, fullest)
    return TrainerInputs(loaded, train_rows, eval_rows, collator, checkpointing)


def log_rows(loaded: LoadedModel, split: str, rows: TokenRows) -> None:
    """Log how many rows of a split there are, their lengths and labels."""
    LOGGER.info(
        "%s rows: %d of %d in %d sequences, %.1f tokens per row, longest prompt %d tokens, "
        "%.1f %% Yes",
        split,
        len(rows),
        loaded.folder.meta["counts"][split],
        len(rows.sequences),
        len(rows.sequences.ids.values) / len(rows),
        rows.sequences.prompt_lengths.max() + ANSWER_TOKENS,
        100 * rows.liked.mean(),
    )
    if split == TRAIN and (hidden := hidden_sequences(loaded.config, rows)):
        LOGGER.info("signals are hidden in %d of %d sequences", hidden, len(rows.sequences))


def hidden_sequences(config: Config, rows: TokenRows) -> int:
    """Return how many sequences of training rows show no signals."""
    return len(train_rows(config).hidden(len(rows.sequences)))


def refuse_undefined_metric(rows: TokenRows, metric: str | None) -> None:
    """Refuse validation rows on which ``train.metric_for_best_model`` is undefined.

    Raises:
        DataError: For an AUC all rows, or all rows of each user, have one label; for F1 no row is
            a Yes.
    """
    if metric is None:
        return
    metrics = measure(rows.liked, np.zeros(len(rows)), rows.user_id).to_dict()
    if metrics[metric.removeprefix("eval_")] is None:
        raise DataError(
            f"{metric} is undefined on the {len(rows)} validation rows: {int(rows.liked.sum())} of "
            f"them are Yes, and {_METRIC_NEEDS.get(metric, 'an AUC needs both answers')}",
            code="metric_undefined",
            where="train.metric_for_best_model",
            hint="Use more validation rows (data.max_eval_examples), or set "
            "train.metric_for_best_model to eval_log_loss",
        )


def build_collator(loaded: LoadedModel, rows: TokenRows) -> Collator:
    """Return the collator of the training rows.

    Raises:
        LengthError: A sequence is longer than a packed row.
    """
    section = loaded.config.train
    labels = Labels(loaded.answers, end=section.loss == "answer")
    pad_id = pad_id_of(loaded.base.tokenizer)
    if not section.share_history:
        return PlainCollator(rows, labels, pad_id)
    compiled = loaded.device.type == "cuda"
    batch_size = section.batch_size if compiled else None
    return PackCollator(rows, labels, pad_id, section.pack_length, batch_size)


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory of one training step, in GiB.

    Attributes:
        weights: The frozen base model as it is stored.
        adapter: Adapter weights with gradients and optimizer state.
        activations: Kept by the forward pass for the backward pass.
        head: Logits at the answer positions and their gradient.
    """

    weights: float
    adapter: float
    activations: float
    head: float

    @property
    def step(self) -> float:
        """What a step adds to the weights."""
        return self.adapter + self.activations + self.head


def estimate_step_memory(
    loaded: LoadedModel, batch: Batch, *, checkpointing: bool
) -> MemoryEstimate:
    """Estimate the memory of one training step.

    Per layer and token, the backward pass reads again: inputs and outputs of the linear maps and
    gates, about 8 times the hidden size and 5 times the MLP size in the compute type; the inputs of
    the normalizations in float32; and, where the adapter has dropout, a dropped copy of every
    adapted map's input with its mask. Nothing is read again below the first layer with an adapter.
    With checkpointing, only one layer's activations are held, and every layer's input.
    """
    causal = causal_of(loaded.model)
    config = causal.config.get_text_config()
    tokens, layers = tokens_held(batch), _layers_held(causal)
    vocabulary, hidden = head_of(causal).weight.shape
    mlp = getattr(config, "intermediate_size", None) or 4 * hidden
    width = 4 if causal.dtype == torch.float32 else 2
    dropped = sum(
        int(module.in_features or 0)  # pyright: ignore
        for module in loaded.model.modules()
        if isinstance(module, LoraLayer)
        and any(isinstance(each, torch.nn.Dropout) for each in module.lora_dropout.values())
    )
    per_layer = tokens * (
        width * (8 * hidden + 5 * mlp) + 4 * 3 * hidden + (width + 1) * dropped / layers
    )
    layer_inputs = tokens * width * hidden * layers
    trainable, _ = parameter_counts(loaded.peft_model)
    return MemoryEstimate(
        weights=causal.get_memory_footprint() / _GIB,
        adapter=trainable * _BYTES_PER_TRAINABLE / _GIB,
        activations=(per_layer + layer_inputs if checkpointing else per_layer * layers) / _GIB,
        head=2 * batch["labels"].numel() * vocabulary * 4 / _GIB,
    )


def _layers_held(causal: PreTrainedModel) -> int:
    """Return the number of layers from the lowest with an adapter on; all if that is unknown."""
    if (found := find_decoder_layers(causal)) is None:
        return causal.config.get_text_config().num_hidden_layers
    layers = found[1]
    adapted = (any(isinstance(m, LoraLayer) for m in layer.modules()) for layer in layers)
    return len(layers) - next((i for i, has_one in enumerate(adapted) if has_one), 0)


def choose_checkpointing(loaded: LoadedModel, fullest: Batch) -> Choice[bool]:
    """Decide on gradient checkpointing: as configured or, with ``auto``, by the free memory."""
    configured = loaded.config.train.gradient_checkpointing
    if configured != "auto":
        return Choice(configured, "configured")
    estimate = estimate_step_memory(loaded, fullest, checkpointing=False)
    needed, free = estimate.step, free_memory(loaded.device)
    if is_sharded():  # the weights are not there yet
        free -= estimate.weights / process_state().num_processes
    return Choice(
        needed > _FREE_SHARE * free,
        f"a step without it takes about {needed:.1f} GiB; {free:.1f} GiB are free, of which it may "
        f"use {100 * _FREE_SHARE:.0f} %",
    )


def describe_checkpointing(choice: Choice[bool]) -> str:
    """Return the choice as one line, for the log and ``run.json``."""
    return f"gradient checkpointing: {'on' if choice.value else 'off'} ({choice.reason})"
