"""Files of an evaluation: predictions, metrics, report; with the adapter, calibration and card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from reeltune.data.folder import CacheKey, prepared_data
from reeltune.errors import ConfigError, DataError, FileError, ModelError
from reeltune.evaluation.collect import CollectedPredictions, EarlierEvaluation
from reeltune.evaluation.evaluate import prompt_facts
from reeltune.evaluation.predictions import PREDICTIONS_FILE, read_predictions, write_predictions
from reeltune.evaluation.result import Ablation, Evaluation
from reeltune.files import check_writable, file_digest, write_json
from reeltune.locks import exclusive
from reeltune.models.calibration import (
    CALIBRATION_FILE,
    Calibration,
    load_calibration,
    write_calibration,
)
from reeltune.models.loaded_model import LoadedModel
from reeltune.report.learning import TrainingCurves
from reeltune.report.write import write_report
from reeltune.runs.folder import ADAPTER_WEIGHTS, CARD_FILE, METRICS_FILE, RunFolder
from reeltune.runs.log import LOGGER
from reeltune.scoring.fusion import write_fusion
from reeltune.training.record import write_card

REPORT_FILE: Final = "report.html"

_PREDICTIONS_KEY: Final = "predictions_key"
"""Entry of ``metrics.json``: what the models' predictions depend on."""
_PREDICTIONS_DIGEST: Final = "predictions_sha256"
"""Of the file, which a killed evaluation may have replaced before it wrote its metrics."""


def save_evaluation(
    target: Path,
    loaded: LoadedModel,
    collected: CollectedPredictions,
    evaluation: Evaluation,
    run: RunFolder | None,
) -> None:
    """Write ``predictions.parquet``, ``metrics.json`` and ``report.html`` into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    splits = [collected.reported]
    if collected.validation.split != collected.reported.split:
        splits.insert(0, collected.validation)
    folder = loaded.folder
    write_predictions(target / PREDICTIONS_FILE, splits, folder.user_ids, folder.item_ids)
    key = {
        _PREDICTIONS_KEY: predictions_key(loaded, run).parts,
        _PREDICTIONS_DIGEST: file_digest(target / PREDICTIONS_FILE),
    }
    write_json(target / METRICS_FILE, prompt_facts(loaded) | key | evaluation.to_dict())
    words, curves = loaded.settings.rating_words, training_curves(run)
    write_report(target / REPORT_FILE, evaluation, collected.reported, curves, words)
    if collected.scorer is not None:
        collected.scorer.clear()


def training_curves(run: RunFolder | None) -> TrainingCurves | None:
    """Return the curves of a run for its report; None if it has none.

    Raises:
        RunError: The file is damaged (``invalid_training_metrics``).
    """
    file = None if run is None else run.path / METRICS_FILE
    return None if file is None or not file.is_file() else TrainingCurves.read(file)


def predictions_key(loaded: LoadedModel, run: RunFolder | None) -> CacheKey:
    """Return what the models' predictions depend on, neither the device nor any path."""
    return CacheKey(
        prepared_data(loaded.folder)
        | {
            "adapter": None if run is None else file_digest(run.path / ADAPTER_WEIGHTS),
            "prompt": loaded.settings.to_dict(),
            "scoring.share_history": loaded.config.scoring.share_history,
            "train.block_size": loaded.config.train.block_size,
        }
        | ({"history": loaded.folder.history_len} if run is None else {})
    )


def read_earlier(target: Path, loaded: LoadedModel, run: RunFolder | None) -> EarlierEvaluation:
    """Return what an earlier evaluation in a folder computed with the models, to use it again.

    Raises:
        DataError: There is no evaluation, or it was made with other data, weights or prompts.
        ConfigError: Its predictions are calibrated, or those of this evaluation are to be.
    """
    predictions = read_predictions(target / PREDICTIONS_FILE)
    written = json.loads((target / METRICS_FILE).read_text(encoding="utf-8"))
    changed = predictions_key(loaded, run).changed_from(written.get(_PREDICTIONS_KEY, {}))
    digest = file_digest(target / PREDICTIONS_FILE)
    if written.get(_PREDICTIONS_DIGEST, digest) != digest:
        changed = [*changed, "metrics"]
    if changed:
        raise DataError(
            f"the predictions there were made with other {', '.join(changed)}",
            code="predictions_of_other_settings",
            where=str(target / METRICS_FILE),
            hint="Run reeltune evaluate without --keep-predictions",
        )
    methods = [scorer["settings"].get("calibration", "none") for scorer in written["scorers"]]
    if any(method != "none" for method in [*methods, loaded.config.scoring.calibration]):
        raise ConfigError(
            "only uncalibrated predictions can be kept",
            code="calibrated_predictions",
            where="scoring.calibration",
            hint="Set it to none in both evaluations, or leave out --keep-predictions",
        )
    return EarlierEvaluation(predictions, [Ablation.from_dict(a) for a in written["ablations"]])


def save_with_adapter(
    run: RunFolder, collected: CollectedPredictions, evaluation: Evaluation
) -> None:
    """Write the adapter's calibration and a new fusion, and add the metrics to its model card.

    The predictions are of test rows, with prompts of the adapter's own form. A run that belongs to
    someone else, or is on a read-only disk, stays as it is, with a warning.
    """
    try:
        check_writable(run.path / CALIBRATION_FILE)
    except FileError as error:
        LOGGER.warning("calibration, fusion and model card are not updated: %s", error.message)
        return
    with exclusive(run.path / CALIBRATION_FILE, wait=True):
        if collected.calibration is not None and not _has_better(run.path, collected.calibration):
            write_calibration(run.path, collected.calibration)
        if collected.new_fusion:
            write_fusion(run.path, collected.fusion)
    if run.record_file.is_file() and run.finished:
        write_card(run.path / CARD_FILE, run.record(), run.metrics(), evaluation)


def _has_better(adapter: Path, new: Calibration) -> bool:
    """Return whether an adapter has a calibration of this form and layout, from more rows."""
    if not (adapter / CALIBRATION_FILE).is_file():
        return False
    try:
        old = load_calibration(adapter)
    except ModelError as error:
        LOGGER.info("calibration: replaced, as the old one cannot be read (%s)", error.message)
        return False
    better = old.prompt == new.prompt and old.rows > new.rows
    if better:
        LOGGER.info("calibration: not replaced, as it was fitted on more rows (%d)", old.rows)
    return better
