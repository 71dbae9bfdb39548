"""``export``: merge, save, load back, measure, and keep the result only if it is the same model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reeltune.config import Config
from reeltune.errors import ModelError, RunError
from reeltune.export.bases import IN_4_BITS, PUBLISHED, with_four_bit
from reeltune.export.card import write_merged_card
from reeltune.export.drift import FOUR_BIT, UNQUANTIZED, Drift, Reading
from reeltune.export.measure import (
    ProgressFor,
    Questions,
    let_go_of_memory,
    read_as_loaded,
    read_merged,
    read_other_base,
)
from reeltune.export.merge import write_merged
from reeltune.export.options import ENOUGH_ROWS, ExportOptions
from reeltune.export.origin import Origin, read_origin
from reeltune.export.record import EXPORT_FILE, export_record
from reeltune.files import atomic_folder, write_json
from reeltune.runs.folder import CARD_FILE
from reeltune.runs.log import LOGGER


def export_merged(
    config: Config,
    adapter: Path,
    target: Path,
    options: ExportOptions,
    show: Callable[[Drift], None],
    progress: ProgressFor | None = None,
) -> Drift:
    """Write base and adapter as one ordinary model, proven to give the adapter's verdicts.

    One model is in memory at a time.

    Args:
        config: Names the data, and the model where there is no run that says more.
        adapter: The trained adapter's folder.
        target: Where the merged model goes; it appears whole or not at all.
        options: What is wanted.
        show: Told what was measured, before it is judged.
        progress: Gives, for a reading, what is told after every batch.

    Raises:
        RunError: The target exists and may not be replaced.
        ModelError: The adapter cannot be merged, or the merged model drifts past a bound.
        ReeltuneError: Data, model or adapter is missing or does not fit.
    """
    _refuse_target(target, options.overwrite)
    origin = read_origin(adapter)
    questions, readings = _ask_adapter(config, adapter, options, progress or (lambda _: None))
    trained_in_4_bits = questions.four_bit if origin.four_bit is None else origin.four_bit
    with atomic_folder(target) as folder:
        _merge(folder, questions, origin, options)
        drift = Drift(
            split=options.split,
            rows=len(questions.rows),
            readings=[*readings, read_merged(questions, folder)],
            reference=FOUR_BIT if trained_in_4_bits else UNQUANTIZED,
            bounds=options.bounds,
            notes=_notes(questions, origin),
        )
        show(drift)
        _judge(drift, options, target)
        record = export_record(folder, questions, origin, options, drift)
        write_json(folder / EXPORT_FILE, record)
        write_merged_card(folder / CARD_FILE, target.name, record, drift, origin, questions)
    return drift


def _refuse_target(target: Path, overwrite: bool) -> None:
    """Refuse to write over anything but an earlier export.

    Raises:
        RunError: Something is there that may not be replaced.
    """
    if not target.exists():
        return
    if not overwrite:
        raise RunError(
            "already exists",
            where=str(target),
            hint="Name another folder, or replace an earlier export with --overwrite",
        )
    if not target.is_dir() or (any(target.iterdir()) and not (target / EXPORT_FILE).is_file()):
        raise RunError(
            "holds something else than an export, so it is not replaced",
            where=str(target),
            hint="Name another folder",
        )


def _ask_adapter(
    config: Config, adapter: Path, options: ExportOptions, progress: ProgressFor
) -> tuple[Questions, list[Reading]]:
    """Return what is asked, and what the adapter says on the unquantized base and in 4 bits."""
    evaluation = config.evaluation.model_copy(update={"max_examples": options.rows})
    limited = config.model_copy(update={"evaluation": evaluation})
    questions, loaded = read_as_loaded(limited, adapter, options.split, progress)
    other = read_other_base(questions, adapter, not questions.four_bit)
    return questions, [other, loaded] if questions.four_bit else [loaded, other]


def _merge(folder: Path, questions: Questions, origin: Origin, options: ExportOptions) -> None:
    let_go_of_memory()
    LOGGER.info(
        "merging in float32, onto the %s weights, then rounding to %s", options.onto, options.dtype
    )
    write_merged(
        folder,
        with_four_bit(questions.config, options.onto == IN_4_BITS, questions.allow_cpu),
        origin.adapter,
        options.dtype,
        options.onto,
        questions.tokens.answers,
        origin.prompt,
    )


def _judge(drift: Drift, options: ExportOptions, target: Path) -> None:
    """Refuse a merged model that is not the one that was trained.

    Raises:
        ModelError: It drifts past a bound and that was not allowed.
    """
    passed = drift.exceeded()
    if not passed:
        return
    if not options.allow_drift:
        keep = "or keep it all the same with --allow-drift"
        if options.dtype == "bfloat16" and drift.reading(drift.reference).missing is None:
            keep = f"round eight times finer with --dtype float16, {keep}"
        if drift.reference == FOUR_BIT and options.onto == PUBLISHED:
            keep = f"merge into what the 4 bits stand for with --onto {IN_4_BITS}, {keep}"
        raise ModelError(
            "not kept, the merged model is not shown to be the adapter that was trained: "
            + "; ".join(passed),
            where=str(target),
            hint=f"Use the adapter on the base it was trained on, {keep}",
        )
    LOGGER.warning("kept because of --allow-drift: %s", "; ".join(passed))


def _notes(questions: Questions, origin: Origin) -> list[str]:
    """Return what a reader of the drift has to know besides its numbers."""
    rows, split = len(questions.rows), questions.split
    available = int(questions.folder.meta["counts"][split])
    notes = []
    if rows < ENOUGH_ROWS:
        why = "the split has no more" if rows == available else "as asked"
        notes.append(
            f"Measured on {rows} rows, {why}; on {ENOUGH_ROWS} or more, the largest difference "
            "may be larger."
        )
    if origin.four_bit is None:
        notes.append(
            "Nothing says what the adapter was trained on: the base is taken to be as the "
            "configuration has it."
        )
    return notes
