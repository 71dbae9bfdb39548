"""Build the trainer of a run from its configuration and its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset
from transformers import EarlyStoppingCallback, PrinterCallback
from transformers.integrations import TensorBoardCallback
from trl import SFTConfig

from reeltune.config.schema import LOWER_IS_BETTER
from reeltune.models.causal_lm import compile_layers
from reeltune.models.choices import Choice, process_state
from reeltune.models.loaded_model import LoadedModel
from reeltune.models.tokenizer import pad_id_of
from reeltune.prompts.rows import TokenRows
from reeltune.runs.folder import TENSORBOARD_DIR, RunFolder
from reeltune.scoring.scorer import Scorer
from reeltune.training.callbacks import KeepBest
from reeltune.training.collate import (
    ROW,
    Collator,
    Labels,
    PlainCollator,
    fullest_batch,
    pack_collator,
)
from reeltune.training.memory import choose_checkpointing
from reeltune.training.progress import ProgressLog, StepClock
from reeltune.training.setup import prompt_record
from reeltune.training.trainer import YesNoTrainer


@dataclass(frozen=True)
class TrainerInputs:
    """What a trainer is built from.

    Attributes:
        loaded: The model with its adapter, trainable.
        train_rows: The training rows.
        eval_rows: The validation rows, scored during training.
        collator: Makes the batches.
        checkpointing: Whether the backward pass computes activations again.
    """

    loaded: LoadedModel
    train_rows: TokenRows
    eval_rows: TokenRows
    collator: Collator
    checkpointing: Choice[bool]


def trainer_inputs(
    loaded: LoadedModel, train_rows: TokenRows, eval_rows: TokenRows
) -> TrainerInputs:
    """Return what a trainer is built from, deciding what depends on the size of a batch.

    Raises:
        LengthError: A sequence is longer than a packed row.
    """
    collator = build_collator(loaded, train_rows)
    fullest = fullest_batch(collator, loaded.config.train.batch_size)
    checkpointing = choose_checkpointing(loaded, fullest)
    return TrainerInputs(loaded, train_rows, eval_rows, collator, checkpointing)


def build_trainer(inputs: TrainerInputs, run: RunFolder, clock: StepClock) -> YesNoTrainer:
    """Return the trainer with its callbacks."""
    from torch.utils.tensorboard import SummaryWriter

    loaded, config = inputs.loaded, inputs.loaded.config
    section = config.train
    tokenizer = loaded.base.tokenizer
    callbacks = [KeepBest(), ProgressLog(), clock]
    if section.early_stopping_patience is not None:
        callbacks.append(
            EarlyStoppingCallback(section.early_stopping_patience, section.early_stopping_min_delta)
        )
    if process_state().is_main_process:
        callbacks.append(TensorBoardCallback(SummaryWriter(str(run.path / TENSORBOARD_DIR))))
    on_gpu = loaded.device.type == "cuda"
    # Plain prompts come in batches of ever new shapes, each of which would be compiled for itself.
    if section.compile and section.share_history and on_gpu:
        compile_layers(loaded.model)
    rows = Dataset.from_dict({ROW: np.arange(len(inputs.collator))})
    trainer = YesNoTrainer(
        model=loaded.model,
        args=trainer_arguments(inputs, run.path),
        train_dataset=rows,
        # evaluate() scores eval_rows; the trainer only insists on being given something here
        eval_dataset=rows.select([]),
        processing_class=tokenizer,
        data_collator=inputs.collator,
        callbacks=callbacks,
        scorer=Scorer(loaded.model, loaded.answers, config.scoring.tokens_per_batch),
        eval_rows=inputs.eval_rows,
        prompt_record=prompt_record(loaded),
        clock=clock,
        pairwise_weight=section.pairwise_weight,
    )
    trainer.remove_callback(PrinterCallback)  # ProgressLog says the same, readably
    return trainer


def build_collator(loaded: LoadedModel, rows: TokenRows) -> Collator:
    """Return what makes batches of the training rows.

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
    return pack_collator(rows, labels, pad_id, section.pack_length, batch_size)


def trainer_arguments(inputs: TrainerInputs, output_dir: Path) -> SFTConfig:
    """Return TRL's arguments for a configuration."""
    section, choices = inputs.loaded.config.train, inputs.loaded.base.choices
    on_gpu = choices.device.value.type == "cuda"
    dtype = str(choices.dtype.value).removeprefix("torch.")
    return SFTConfig(
        output_dir=str(output_dir),
        num_train_epochs=section.epochs,
        max_steps=section.max_steps or -1,
        per_device_train_batch_size=section.batch_size,
        gradient_accumulation_steps=section.gradient_accumulation_steps,
        learning_rate=section.learning_rate,
        lr_scheduler_type=section.lr_scheduler_type,
        warmup_steps=section.warmup_ratio,  # below 1 it is a share of the steps
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        optim=section.optimizer,
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        use_cpu=choices.device.value.type == "cpu",
        gradient_checkpointing=inputs.checkpointing.value,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        logging_steps=section.logging_steps,
        logging_first_step=True,
        # The filter would wait for the GPU at every step, and hide a loss that is not a number.
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=section.eval_steps,
        save_strategy="steps",
        save_steps=section.save_steps,
        save_total_limit=section.save_total_limit,
        load_best_model_at_end=True,
        metric_for_best_model=section.metric_for_best_model,
        greater_is_better=section.metric_for_best_model not in LOWER_IS_BETTER,
        restore_callback_states_from_checkpoint=True,
        seed=section.seed,
        data_seed=section.seed,
        # A batch is copied to the GPU while the step before it still runs.
        accelerator_config={"non_blocking": on_gpu},
        # Every weight of an adapter takes part in every step: none has to be looked for.
        ddp_find_unused_parameters=False,
        dataloader_num_workers=section.dataloader_num_workers,
        remove_unused_columns=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        disable_tqdm=True,
        report_to="none",
    )
