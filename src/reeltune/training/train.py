"""A training run from beginning to end: load, preprocess, train, save."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from accelerate.utils import gather_object
from transformers import TrainerCallback

from reeltune.attention.shared import backend
from reeltune.boundary import disk_full, is_disk_full
from reeltune.config import Config
from reeltune.data.columns import TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.errors import RunError
from reeltune.extras import require
from reeltune.files import write_json
from reeltune.locks import exclusive
from reeltune.models.adapter import adapter_record, read_adapter, refuse_unfit
from reeltune.models.base_identity import check_base
from reeltune.models.choices import is_sharded, process_state
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.models.prompt_record import refuse_other_tokenizer
from reeltune.prompts.rows import TokenRows, prompt_settings, train_rows, validation_rows
from reeltune.runs.folder import CARD_FILE, LOG_FILE, METRICS_FILE, RunFolder
from reeltune.runs.log import LOGGER, begin_phase, logging_to, quiet_libraries
from reeltune.scoring.fusion import fit_fusion, write_fusion
from reeltune.signals.folder import open_prepared
from reeltune.training.cache import cached_rows
from reeltune.training.callbacks import StepClock
from reeltune.training.checkpoints import newest_whole, set_aside
from reeltune.training.fusion_parts import (
    MOST_EVENTS,
    PartsProcess,
    parts_process,
    validation_events,
)
from reeltune.training.inputs import (
    TrainerInputs,
    describe_checkpointing,
    log_rows,
    refuse_undefined_metric,
    trainer_inputs,
)
from reeltune.training.loss import PAIRS_PAY_FROM
from reeltune.training.record import base_entry, first_record, run_metrics, write_card
from reeltune.training.trackers import finished_trackers, start_trackers
from reeltune.training.trainer import YesNoTrainer, build_trainer

Callbacks = Sequence[TrainerCallback]
_SMALL_FILES: Final = 500_000  # bytes: headers, the states of the trainer and of generators


def train(
    config: Config, resume: bool = False, overwrite: bool = False, added: Callbacks = ()
) -> Path:
    """Run or continue a training run.

    Args:
        config: The configuration.
        resume: Continue from the newest whole checkpoint; with none, start at the beginning.
        overwrite: Replace an earlier run in the same folder.
        added: Further callbacks of the trainer.

    Returns:
        The run folder.

    Raises:
        ReeltuneError: Configuration, data, model or run folder is wrong.
    """
    run = RunFolder(config.train.output_dir)
    main = process_state().is_main_process
    with exclusive(run.path) if main else contextlib.nullcontext():
        _train_in(run, config, resume, overwrite, added, main=main)
    return run.path


def _train_in(
    run: RunFolder, config: Config, resume: bool, overwrite: bool, added: Callbacks, *, main: bool
) -> None:
    checkpoint, unusable = _begin(run, config, resume, overwrite)
    if resume and run.finished:
        with logging_to(None):
            LOGGER.info("this run has already finished: %s", run.path)
        return
    try:
        log = run.path / LOG_FILE if main else None
        trackers = finished_trackers(config.train.report_to)
        with logging_to(log, quiet=not main), quiet_libraries(), trackers:
            if main:
                for path in run.remove_incomplete_checkpoints():
                    LOGGER.warning("removed incomplete %s", path.name)
                set_aside(unusable, checkpoint)
            _train(run, config, checkpoint, added, main=main)
    finally:
        if main:
            run.restore_earlier()  # unless this run has replaced it


def _begin(
    run: RunFolder, config: Config, resume: bool, overwrite: bool
) -> tuple[Path | None, dict[Path, str]]:
    """Make the run folder, or return the checkpoint to continue from, and the unusable ones."""
    if resume and overwrite:
        raise RunError(
            "--resume and --overwrite exclude each other",
            code="resume_or_overwrite",
            where="--resume",
            hint="Give one of them",
        )
    for tracker in config.train.report_to:
        require(tracker)
    process = process_state()
    continued = resume and run.record_file.is_file()
    if continued:
        run.refuse_other_config(config)
    elif process.is_main_process:
        run.start(overwrite)
    process.wait_for_everyone()
    return newest_whole(run) if continued and not run.finished else (None, {})


def _train(
    run: RunFolder, config: Config, checkpoint: Path | None, added: Callbacks, *, main: bool
) -> None:
    clock = StepClock()
    LOGGER.info("run folder: %s", run.path)
    begin_phase(1, "load", clock.began)
    folder = open_prepared(config)
    with _parts_beside(config, folder, main=main) as parts:
        if parts is not None and not is_sharded():
            parts.begin(config)
        if checkpoint is not None:
            settings = prompt_settings(folder, config.prompt)
            run.refuse_other_data(folder.meta["files"], settings.to_dict())
            check_base(run, config.model)
        loaded = load_model(config, trainable=True, resumed=checkpoint is not None, folder=folder)
        if checkpoint is not None:
            refuse_other_tokenizer(checkpoint, loaded.base.tokenizer)
            refuse_unfit(loaded.peft_model, read_adapter(checkpoint)[1], checkpoint)
        base = _base_in_thread(config, run)
        begin_phase(2, "preprocess", clock.began)
        rows = cached_rows(loaded, train_rows(config))
        eval_rows = cached_rows(loaded, validation_rows(config))
        log_rows(loaded, TRAIN, rows)
        log_rows(loaded, VALIDATION, eval_rows)
        refuse_undefined_metric(eval_rows, config.train.metric_for_best_model)
        if main:
            _warn_of_few_pairs(config, rows)
        if parts is not None and not is_sharded():
            parts.read_signals()
        inputs = trainer_inputs(loaded, rows, eval_rows)
        LOGGER.info(describe_checkpointing(inputs.checkpointing))
        with _space_named(run, loaded):
            _learn(run, inputs, clock, checkpoint, added, base, parts)


def _learn(
    run: RunFolder,
    inputs: TrainerInputs,
    clock: StepClock,
    checkpoint: Path | None,
    added: Callbacks,
    base: Future[dict[str, Any]],
    parts: PartsProcess | None,
) -> None:
    config = inputs.loaded.config
    record = first_record(inputs, run, checkpoint)
    trainer = build_trainer(inputs, run, clock, checkpoint)
    for callback in added:
        trainer.add_callback(callback)
    trainer.totals.run_started = record["started"]

    def begin() -> None:
        LOGGER.info("checking the model on some of these rows")
        for checked in (inputs.train_rows, inputs.eval_rows):
            trainer.scorer.check(checked.sequences, packed=config.train.share_history)
        start_trackers(trainer)
        if trainer.is_world_process_zero():
            record["base"] = base.result()
            run.remove_earlier()
            run.write_record(record)
        begin_phase(3, "train, with periodic evaluation", clock.began)
        _log_batch(config, trainer, len(inputs.train_rows))
        if checkpoint is not None:
            LOGGER.info("resuming from %s", checkpoint.name)
        if parts is not None and trainer.is_fsdp_enabled:
            parts.begin(config)
            parts.read_signals()

    if trainer.is_fsdp_enabled:
        trainer.begin = begin  # only then is the model sharded, and can be run
    else:
        begin()
    trainer.args.eval_on_start = checkpoint is None
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    begin_phase(4, "save", clock.began)
    trainer.save_model()
    peaks = gather_object([trainer.totals.peak_memory()])
    p_yes = trainer.final_p_yes() if config.scoring.fusion != "none" else None
    if not trainer.is_world_process_zero():
        return
    if p_yes is not None:
        loaded = replace(inputs.loaded, adapter=run.path)
        event = validation_events(config, loaded.folder)
        fitted = parts.result if parts is not None else lambda: None
        write_fusion(run.path, fit_fusion(loaded, event, p_yes, fitted))
    _finish(run, trainer, record, peaks)


def _base_in_thread(config: Config, run: RunFolder) -> Future[dict[str, Any]]:
    """Make the record's entry of the base, which takes reading all weights, in a thread.

    The thread is a daemon: a run that fails or is interrupted does not wait for it.
    """
    entry: Future[dict[str, Any]] = Future()

    def read() -> None:
        try:
            entry.set_result(base_entry(config.model, run))
        except Exception as error:  # noqa: BLE001 - raised again where the entry is needed
            entry.set_exception(error)

    threading.Thread(target=read, name="digest", daemon=True).start()
    return entry


def _parts_beside(
    config: Config, folder: PreparedFolder, *, main: bool
) -> contextlib.AbstractContextManager[PartsProcess | None]:
    """Start the process that fits the parts of the fusion, where a GPU leaves it the processor."""
    device = process_state().device
    idle = device is not None and device.type == "cuda" and folder.counts["events"] <= MOST_EVENTS
    wanted = main and config.scoring.fusion != "none"
    return parts_process() if wanted and idle else contextlib.nullcontext()


@contextlib.contextmanager
def _space_named(run: RunFolder, loaded: LoadedModel) -> Iterator[None]:
    """Let the error for a full disk name the space that the run needs; refuse far too little."""
    adapter = sum(p.nbytes for p in loaded.peft_model.parameters() if p.requires_grad)  # in float32
    if shutil.disk_usage(run.path).free < adapter:
        raise disk_full(str(run.path), _space(loaded, adapter))
    try:
        yield
    except Exception as error:  # any that a full disk caused
        if not is_disk_full(error):
            raise
        raise disk_full(str(run.path), _space(loaded, adapter)) from error


def _space(loaded: LoadedModel, adapter: int) -> int:
    """Return the bytes that a run writes, given those of its adapter."""
    tokenizer = loaded.base.tokenizer.backend_tokenizer.to_str(pretty=True)  # pyright: ignore
    small = len(tokenizer.encode()) + _SMALL_FILES * process_state().num_processes
    copies = 4 if is_sharded() else 3  # with the optimizer's two moments; FSDP writes it twice
    checkpoints = loaded.config.train.save_total_limit + 1
    return checkpoints * (copies * adapter + small) + adapter + small


def _warn_of_few_pairs(config: Config, rows: TokenRows) -> None:
    """Warn if the pairwise loss has no pairs, or fewer rows than it was seen to help with."""
    if not config.train.pairwise_weight:
        return
    if np.diff(rows.sequences.answer_offsets).max(initial=0) < 2:
        LOGGER.warning(
            "train.pairwise_weight: no two rows share a sequence, so there are no pairs and the "
            "pairwise loss is 0"
        )
    elif config.train.loss == "answer" and len(rows) < PAIRS_PAY_FROM:
        LOGGER.warning(
            "train.pairwise_weight with %s training rows: it raised the AUC from %s on, and up to "
            "1,000 it lowered it (docs/QUALITY.md). Set it to 0 for few rows",
            f"{len(rows):,}",
            f"{PAIRS_PAY_FROM:,}",
        )


def _log_batch(config: Config, trainer: YesNoTrainer, examples: int) -> None:
    section = config.train
    processes = trainer.accelerator.num_processes
    rows = section.batch_size * section.gradient_accumulation_steps * processes
    LOGGER.info(
        "effective batch size: %d rows (%d per device x %d accumulated x %d processes), %.1f "
        "examples on average",
        rows,
        section.batch_size,
        section.gradient_accumulation_steps,
        processes,
        rows * examples / trainer.train_rows,
    )
    if section.share_history:
        LOGGER.info("attention in packed rows: %s", backend(trainer.args.device))


def _finish(
    run: RunFolder, trainer: YesNoTrainer, record: dict[str, Any], peaks: list[dict[str, float]]
) -> None:
    """Mark a run as finished, after everything else is written: until then it can be resumed."""
    metrics = run_metrics(trainer)
    write_json(run.path / METRICS_FILE, metrics)
    record |= {
        "status": "finished",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(trainer.totals.seconds, 1),
        "peak_memory": {name: max(peak[name] for peak in peaks) for name in peaks[0]},
        **({"peak_memory_by_process": peaks} if len(peaks) > 1 else {}),
        "adapter": adapter_record(run.path),
    }
    write_card(run.path / CARD_FILE, record, metrics)
    run.write_record(record)
    LOGGER.info("adapter, tokenizer, metrics and model card: %s", run.path)
