"""A training run from beginning to end: load, preprocess, train, save."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from reeltune.attention.shared import backend
from reeltune.config import Config
from reeltune.errors import RunError
from reeltune.files import write_json
from reeltune.models.choices import process_state
from reeltune.models.loaded_model import load_model
from reeltune.prompts.rows import TokenRows, prompt_settings, train_rows
from reeltune.runs.environment import peak_memory
from reeltune.runs.folder import CARD_FILE, LOG_FILE, METRICS_FILE, RunFolder
from reeltune.runs.log import LOGGER, logging_to, phase
from reeltune.signals.folder import open_prepared
from reeltune.training.build import build_trainer, trainer_inputs
from reeltune.training.cache import cached_rows
from reeltune.training.card import write_card
from reeltune.training.loss import PAIRS_PAY_FROM
from reeltune.training.memory import describe_checkpointing
from reeltune.training.progress import StepClock
from reeltune.training.record import first_record, run_metrics
from reeltune.training.setup import (
    refuse_undefined_metric,
    validation_rows,
)
from reeltune.training.trainer import YesNoTrainer


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
        with logging_to(None):
            LOGGER.info("this run has already finished: %s", run.path)
        return run.path
    main = process_state().is_main_process
    try:
        with logging_to(run.path / LOG_FILE if main else None, quiet=not main):
            _train(run, config, checkpoint, main=main)
    finally:
        if main:
            run.give_back()  # unless this run has taken over
    return run.path


def _train(run: RunFolder, config: Config, checkpoint: Path | None, *, main: bool) -> None:
    began = time.monotonic()
    LOGGER.info("run folder: %s", run.path)
    if main:
        for path in run.remove_cut_off_checkpoints():
            LOGGER.warning("removed %s: its writing was cut off", path.name)
    with phase(1, "load"):
        folder = open_prepared(config)
        if checkpoint is not None:
            settings = prompt_settings(folder, config.prompt)
            run.refuse_other_data(folder.meta["files"], settings.to_dict())
        loaded = load_model(config, trainable=True, folder=folder)
    with phase(2, "preprocess"):
        rows = cached_rows(loaded, train_rows(config))
        eval_rows = cached_rows(loaded, validation_rows(config))
        refuse_undefined_metric(eval_rows, config.train.metric_for_best_model)
        _warn_of_few_pairs(config, rows)
        inputs = trainer_inputs(loaded, rows, eval_rows)
        LOGGER.info("%s", describe_checkpointing(inputs.checkpointing))
    record = first_record(inputs, run, checkpoint)
    clock = StepClock()
    trainer = build_trainer(inputs, run, clock)
    for some in (rows, eval_rows):
        trainer.scorer.check(some.sequences)
    if main:
        run.take_over()
        run.write_record(record)
    with phase(3, "train, with periodic evaluation"):
        _say_batch(config, trainer, len(rows), checkpoint)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    with phase(4, "save"):
        _save(run, trainer, record, clock.speed(), time.monotonic() - began)


def _begin(run: RunFolder, config: Config, resume: bool, overwrite: bool) -> Path | None:
    """Make the run folder, or return the checkpoint to continue from."""
    if resume and overwrite:
        raise RunError(
            "--resume and --overwrite exclude each other",
            code="resume_or_overwrite",
            where="--resume",
            hint="Give one of them",
        )
    process = process_state()
    continued = resume and run.record_file.is_file()
    if continued:
        run.refuse_other_config(config)
    elif process.is_main_process:
        run.start(overwrite)
    process.wait_for_everyone()
    checkpoints = run.checkpoints() if continued else []
    return checkpoints[-1] if checkpoints else None


def _warn_of_few_pairs(config: Config, rows: TokenRows) -> None:
    """Warn where the pairwise loss has no pairs, or fewer rows than it was seen to pay with."""
    if not config.train.pairwise_weight:
        return
    if np.diff(rows.sequences.answer_offsets).max(initial=0) < 2:
        LOGGER.warning(
            "train.pairwise_weight: no two rows share a sequence, so there are no pairs, and "
            "answers alone are learned from"
        )
    elif len(rows) < PAIRS_PAY_FROM:
        LOGGER.warning(
            "train.pairwise_weight with %s training rows: it paid from %s on, and up to 1,000 it "
            "cost more AUC than training brought (docs/QUALITY.md). Set it to 0 for few rows",
            f"{len(rows):,}",
            f"{PAIRS_PAY_FROM:,}",
        )


def _say_batch(
    config: Config, trainer: YesNoTrainer, examples: int, checkpoint: Path | None
) -> None:
    """Announce the effective batch."""
    section = config.train
    processes = trainer.accelerator.num_processes
    rows = section.batch_size * section.gradient_accumulation_steps * processes
    LOGGER.info(
        "effective batch: %d rows (%d per device x %d accumulated x %d processes), %.1f examples "
        "on average",
        rows,
        section.batch_size,
        section.gradient_accumulation_steps,
        processes,
        rows * examples / trainer.train_rows,
    )
    if section.share_history:
        LOGGER.info("attention in packed rows: %s", backend(trainer.args.device))
    if checkpoint is not None:
        LOGGER.info("resuming from %s", checkpoint.name)


def _save(
    run: RunFolder,
    trainer: YesNoTrainer,
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
