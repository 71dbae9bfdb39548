"""A training run from beginning to end: load, preprocess, train, save."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
)
from transformers.integrations import TensorBoardCallback
from trl import SFTConfig

from reeltune.config import Config
from reeltune.config.schema import LOWER_IS_BETTER
from reeltune.data.folder import PreparedFolder
from reeltune.errors import RunError
from reeltune.files import write_json
from reeltune.models.causal import pad_id_of
from reeltune.models.load import trainable_share
from reeltune.models.prompt_record import PromptRecord
from reeltune.prompts.rows import TokenRows
from reeltune.runs.environment import hardware, package_versions, peak_memory
from reeltune.runs.folder import (
    CARD_FILE,
    LOG_FILE,
    METRICS_FILE,
    TENSORBOARD_DIR,
    RunFolder,
    config_part,
)
from reeltune.runs.log import LOGGER, logging_to, phase
from reeltune.scoring.scorer import Scorer
from reeltune.training.cache import token_rows
from reeltune.training.callbacks import KeepBest
from reeltune.training.card import write_card
from reeltune.training.collate import AnswerCollator
from reeltune.training.progress import ProgressLog, StepClock
from reeltune.training.setup import (
    RowSource,
    TunableModel,
    load_tunable,
    open_data,
    record_of,
    refuse_one_label,
)
from reeltune.training.trainer import VerdictTrainer


@dataclass(frozen=True)
class _Material:
    """What a trainer is built from."""

    tunable: TunableModel
    train_rows: Dataset
    eval_rows: TokenRows
    prompt: PromptRecord


def train(config: Config, resume: bool = False, overwrite: bool = False) -> Path:
    """Run or continue a training run.

    Args:
        config: Everything it depends on.
        resume: Continue from the newest complete checkpoint; with none, start at the beginning.
        overwrite: Replace an earlier run in the same folder.

    Returns:
        The run folder.

    Raises:
        ReeltuneError: Of the kind that says which of configuration, data, model or run is wrong.
    """
    run = RunFolder(config.train.output_dir)
    checkpoint = _begin(run, config, resume, overwrite)
    if resume and run.finished:
        LOGGER.info("this run has already finished: %s", run.path)
        return run.path
    process = PartialState()
    with logging_to(run.path / LOG_FILE if process.is_main_process else None):
        began = time.monotonic()
        LOGGER.info("run folder: %s", run.path)
        if process.is_main_process:
            for path in run.remove_cut_off_checkpoints():
                LOGGER.warning("removed %s: its writing was cut off", path.name)
        with phase(1, "load"):
            folder, settings = open_data(config)
            tunable = load_tunable(config)
        with phase(2, "preprocess"):
            source = RowSource(config, folder, settings, tunable.base)
            train_rows = source.cached(source.train_request)
            eval_rows = token_rows(source.cached(source.eval_request))
            refuse_one_label(eval_rows, config.train.metric_for_best_model)
            prompt = record_of(config, folder, settings)
            material = _Material(tunable, train_rows, eval_rows, prompt)
        record = _first_record(config, folder, material, run, checkpoint)
        if process.is_main_process:
            run.write_record(record)
        clock = StepClock()
        trainer = build_trainer(config, material, run, clock)
        trainer.scorer.head.check(eval_rows.prompts[0].tolist(), tunable.answers)
        with phase(3, "train, with periodic evaluation"):
            effective = _say_batch(config, trainer, checkpoint)
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        with phase(4, "save"):
            _save(run, trainer, record, clock.speed(effective), time.monotonic() - began)
    return run.path


def _begin(run: RunFolder, config: Config, resume: bool, overwrite: bool) -> Path | None:
    """Make the run folder, or return the checkpoint to continue from."""
    if resume and overwrite:
        raise RunError("--resume and --overwrite contradict each other", mend="Give one of them")
    process = PartialState()
    continued = resume and run.record_file.is_file()
    if continued:
        run.refuse_other_config(config)
    elif process.is_main_process:
        run.start(overwrite)
    process.wait_for_everyone()
    checkpoints = run.checkpoints() if continued else []
    return checkpoints[-1] if checkpoints else None


def build_trainer(
    config: Config, material: _Material, run: RunFolder, clock: StepClock
) -> VerdictTrainer:
    """Return the trainer with its callbacks."""
    from torch.utils.tensorboard import SummaryWriter

    tunable, section = material.tunable, config.train
    tokenizer = tunable.base.tokenizer
    callbacks = [KeepBest(), ProgressLog(), clock]
    if section.early_stopping_patience is not None:
        callbacks.append(
            EarlyStoppingCallback(section.early_stopping_patience, section.early_stopping_min_delta)
        )
    callbacks.append(TensorBoardCallback(SummaryWriter(str(run.path / TENSORBOARD_DIR))))
    trainer = VerdictTrainer(
        model=tunable.model,
        args=trainer_arguments(config, tunable, run.path),
        train_dataset=material.train_rows,
        eval_dataset=material.train_rows.select([]),
        processing_class=tokenizer,
        data_collator=AnswerCollator(tunable.answers, pad_id_of(tokenizer)),
        callbacks=callbacks,
        scorer=Scorer(tunable.model, tunable.answers, config.scoring.tokens_per_batch),
        eval_rows=material.eval_rows,
        prompt_record=material.prompt,
    )
    trainer.remove_callback(PrinterCallback)  # ProgressLog says the same, readably
    return trainer


def trainer_arguments(config: Config, tunable: TunableModel, output_dir: Path) -> SFTConfig:
    """Return TRL's arguments for a configuration."""
    section, choices = config.train, tunable.base.choices
    dtype = str(choices.dtype.value).removeprefix("torch.")
    return SFTConfig(
        output_dir=str(output_dir),
        num_train_epochs=section.epochs,
        max_steps=section.max_steps or -1,
        per_device_train_batch_size=section.batch_size,
        gradient_accumulation_steps=section.gradient_accumulation_steps,
        learning_rate=section.learning_rate,
        lr_scheduler_type=section.lr_scheduler,
        warmup_steps=section.warmup_ratio,  # below 1 it is a share of the steps
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        optim=section.optimizer,
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        use_cpu=choices.device.value.type == "cpu",
        gradient_checkpointing=section.activation_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        logging_steps=section.logging_steps,
        logging_first_step=True,
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
        dataloader_num_workers=section.dataloader_workers,
        include_num_input_tokens_seen="non_padding",
        remove_unused_columns=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        disable_tqdm=True,
        report_to="none",
    )


def _say_batch(config: Config, trainer: VerdictTrainer, checkpoint: Path | None) -> int:
    """Announce the effective batch, and return it in examples."""
    section = config.train
    processes = trainer.accelerator.num_processes
    effective = section.batch_size * section.gradient_accumulation_steps * processes
    LOGGER.info(
        "effective batch: %d examples (%d per device x %d accumulated x %d processes)",
        effective,
        section.batch_size,
        section.gradient_accumulation_steps,
        processes,
    )
    if checkpoint is not None:
        LOGGER.info("resuming from %s", checkpoint.name)
    return effective


def _first_record(
    config: Config,
    folder: PreparedFolder,
    material: _Material,
    run: RunFolder,
    checkpoint: Path | None,
) -> dict[str, Any]:
    trainable, total = trainable_share(material.tunable.model)
    resumed = list(run.record().get("resumed_from", [])) if checkpoint is not None else []
    return {
        "status": "running",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "resumed_from": [*resumed, checkpoint.name] if checkpoint is not None else resumed,
        **config_part(config),
        "versions": package_versions(),
        "hardware": hardware(),
        "choices": list(material.tunable.base.choices.sentences()),
        "prompt": material.prompt.settings.to_dict(),
        "data": {
            "edition": folder.meta["edition"],
            "history_len": folder.history_len,
            "files": folder.meta["files"],
        },
        "rows": {"train": len(material.train_rows), "validation": len(material.eval_rows)},
        "parameters": {"trainable": trainable, "total": total},
    }


def _save(
    run: RunFolder,
    trainer: VerdictTrainer,
    record: dict[str, Any],
    speed: dict[str, float] | None,
    seconds: float,
) -> None:
    trainer.save_model()
    if not trainer.is_world_process_zero():
        return
    metrics = run_metrics(trainer) | {"speed": speed}
    write_json(run.path / METRICS_FILE, metrics)
    record |= {
        "status": "finished",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "peak_memory": peak_memory(),
    }
    run.write_record(record)
    write_card(run.path / CARD_FILE, record, metrics)
    LOGGER.info("adapter, tokenizer, metrics and card are in %s", run.path)


def run_metrics(trainer: VerdictTrainer) -> dict[str, Any]:
    """Return what ``metrics.json`` holds: the best evaluation, all evaluations, the losses."""
    state = trainer.state
    evaluations = [entry for entry in state.log_history if "eval_rows" in entry]
    losses = [
        {"step": entry["step"], "loss": entry["loss"]}
        for entry in state.log_history
        if "loss" in entry
    ]
    best = next((e for e in evaluations if e["step"] == state.best_global_step), None)
    summary = next((e for e in reversed(state.log_history) if "train_runtime" in e), {})
    return {
        "steps": state.global_step,
        "steps_planned": state.max_steps,
        "stopped_early": state.global_step < state.max_steps,
        "tokens_seen": state.num_input_tokens_seen,
        "best_step": state.best_global_step,
        "best": best,
        "evaluations": evaluations,
        "losses": losses,
        "train_seconds": summary.get("train_runtime"),
        "train_loss": summary.get("train_loss"),
    }
