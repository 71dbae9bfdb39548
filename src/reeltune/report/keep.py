"""What an evaluation leaves behind: verdicts, figures, report, calibration, model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from reeltune.asking.subject import Subject
from reeltune.data.cache_key import CacheKey, prepared_data
from reeltune.errors import ConfigError, DataError, ModelError
from reeltune.evaluation.evaluate import asked_how
from reeltune.evaluation.gather import Earlier, Gathered
from reeltune.evaluation.predictions import (
    PREDICTIONS_FILE,
    read_predictions,
    write_predictions,
)
from reeltune.evaluation.result import Control, Evaluation
from reeltune.files import file_digest, write_json
from reeltune.models.names import ADAPTER_WEIGHTS
from reeltune.report.training import TrainingCurves
from reeltune.report.write import write_report
from reeltune.runs.folder import CARD_FILE, METRICS_FILE, RunFolder
from reeltune.runs.log import LOGGER
from reeltune.scoring.calibration import (
    CALIBRATION_FILE,
    Calibration,
    load_calibration,
    write_calibration,
)
from reeltune.training.card import write_card

REPORT_FILE: Final = "report.html"

VERDICTS_OF: Final = "verdicts_of"
"""Where the figures say what the models' verdicts depend on."""


def keep(
    target: Path, subject: Subject, found: Gathered, evaluation: Evaluation, run: RunFolder | None
) -> None:
    """Write an evaluation.

    Args:
        target: The folder to write ``predictions.parquet``, ``metrics.json`` and ``report.html``
            into; made where there is none.
        subject: The model and the data.
        found: The verdicts.
        evaluation: What was found.
        run: Where the adapter lies; None without one.
    """
    target.mkdir(parents=True, exist_ok=True)
    parts = [found.judged]
    if found.validation.split != found.judged.split:
        parts.insert(0, found.validation)
    write_predictions(target / PREDICTIONS_FILE, parts)
    kept = {VERDICTS_OF: verdicts_of(subject, run).parts}
    write_json(target / METRICS_FILE, asked_how(subject) | kept | evaluation.to_dict())
    learned = run.path / METRICS_FILE if run is not None else None
    curves = TrainingCurves.read(learned) if learned is not None and learned.is_file() else None
    write_report(target / REPORT_FILE, evaluation, found.judged, curves)


def verdicts_of(subject: Subject, run: RunFolder | None) -> CacheKey:
    """Return what verdicts depend on, beside rounding: not the device, nor where the model lies."""
    weights = None if run is None else file_digest(run.path / ADAPTER_WEIGHTS)
    config = subject.config
    return CacheKey(
        prepared_data(subject.folder)
        | {
            "adapter": weights,
            "prompt": subject.tokens.renderer.settings.to_dict(),
            "scoring.share_history": config.scoring.share_history,
            "train.block_size": config.train.block_size,
        }
    )


def read_earlier(target: Path, subject: Subject, run: RunFolder | None) -> Earlier:
    """Return what an evaluation has asked the models for, so that they need not be asked again.

    Args:
        target: The folder it was written to.
        subject: The model and the data now.
        run: Where its adapter lies; None without one.

    Raises:
        DataError: There are none, or they are those of something else.
        ConfigError: They were calibrated, or are to be: what is kept is what the model gave.
    """
    calibration = subject.config.scoring.calibration
    verdicts = read_predictions(target / PREDICTIONS_FILE)
    written = json.loads((target / METRICS_FILE).read_text(encoding="utf-8"))
    changed = verdicts_of(subject, run).changed_from(written.get(VERDICTS_OF, {}))
    if changed:
        raise DataError(
            f"the predictions there were made with other {', '.join(changed)}",
            code="predictions_of_other_settings",
            where=str(target / METRICS_FILE),
            hint="Evaluate anew, without --keep-verdicts",
        )
    used = [one["settings"].get("calibration", "none") for one in written["scorers"]]
    if any(one != "none" for one in [*used, calibration]):
        raise ConfigError(
            "only uncalibrated predictions can be kept",
            code="calibrated_predictions",
            where="scoring.calibration",
            hint="Set it to none here and in the earlier evaluation, or evaluate anew",
        )
    return Earlier(verdicts, [Control.from_dict(one) for one in written["controls"]])


def keep_with_adapter(run: RunFolder, found: Gathered, evaluation: Evaluation) -> None:
    """Write what belongs to the adapter itself: its calibration, and the figures in its card.

    A calibration learned on more rows, in the same way of asking, is not replaced.

    Args:
        run: Where the adapter lies.
        found: Verdicts of the adapter asked in its own form.
        evaluation: What was found on test rows.
    """
    if found.calibration is not None and not _has_better(run.path, found.calibration):
        write_calibration(run.path, found.calibration)
    if run.record_file.is_file() and run.finished:
        write_card(run.path / CARD_FILE, run.record(), run.metrics(), evaluation)


def _has_better(adapter: Path, found: Calibration) -> bool:
    """Return whether an adapter has a calibration learned on more rows asked in the same way."""
    if not (adapter / CALIBRATION_FILE).is_file():
        return False
    try:
        there = load_calibration(adapter)
    except ModelError as error:
        LOGGER.info("calibration: made anew, as what was there cannot be read (%s)", error.message)
        return False
    same = (there.form, there.layout) == (found.form, found.layout)
    if same and there.rows > found.rows:
        LOGGER.info("calibration: kept, for it was learned on %d rows", there.rows)
    return same and there.rows > found.rows
