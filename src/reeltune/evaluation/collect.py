"""Collects P(Yes) of every scorer on the same rows: fusion, tuned and base model, baselines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.special import expit

from reeltune.data.columns import VALIDATION
from reeltune.errors import ModelError
from reeltune.evaluation.metrics import measure
from reeltune.evaluation.model_predictions import (
    BASE,
    PARTIAL_FOLDER,
    SHIPPED,
    TUNED,
    WITH_MODEL,
    WITHOUT_MODEL,
    ProgressFor,
    ShardedScorer,
    model_names,
    predict_models,
)
from reeltune.evaluation.predictions import Floats, PredictionTable
from reeltune.evaluation.result import Ablation, Kind
from reeltune.models.calibration import Calibration, fit_calibration
from reeltune.models.loaded_model import LoadedModel
from reeltune.runs.log import LOGGER
from reeltune.scoring.combiner import BOOSTING, SEQUENCE, Combination
from reeltune.scoring.fusion import Fusion, event_inputs, fit_fusion, load_fusion

RANKING_METRICS: Final = ("auc", "auc_per_user_mean")
"""Metrics by which the strongest scorer is chosen."""


@dataclass(frozen=True)
class ScorerInfo:
    """What is known about a scorer beside its predictions; see :class:`ScorerResult`."""

    kind: Kind
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class EarlierEvaluation:
    """What an earlier evaluation computed with the models: predictions by split, ablations."""

    predictions: dict[str, PredictionTable]
    ablations: list[Ablation]


@dataclass
class CollectedPredictions:
    """Predictions of all scorers.

    Attributes:
        validation: The rows that thresholds, settings and calibration are chosen on.
        calibration: Fitted on the tuned model's validation rows; None without an adapter, or
            unless both labels occur.
        uncalibrated: P(Yes) of the tuned model on the reported rows before calibration.
        fusion: What is or will be kept with the adapter; None if there is none, or without one.
        new_fusion: Whether it replaces that beside the adapter, or without a fusion removes it.
        parts: P(Yes) of the fusion's parts on validation and reported rows, by name, if they were
            fitted with these validation rows and this seed: as baselines they are not fitted again.
        scorer: Computes the predictions of the models, and keeps finished ones.
        earlier: Where the models' predictions come from; None if they were computed now.
    """

    validation: PredictionTable
    reported: PredictionTable
    scorers: dict[str, ScorerInfo] = field(default_factory=dict)
    calibration: Calibration | None = None
    uncalibrated: Floats | None = None
    fusion: Fusion | None = None
    new_fusion: bool = False
    parts: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)
    scorer: ShardedScorer | None = None
    earlier: EarlierEvaluation | None = None

    def add(self, name: str, info: ScorerInfo, validation: Floats, reported: Floats) -> None:
        """Add the predictions of one scorer."""
        self.validation = self.validation.scored(name, validation)
        self.reported = self.reported.scored(name, reported)
        self.scorers[name] = info

    def strongest(self, metric: str, kind: Kind) -> str | None:
        """Return the scorer of a kind with the highest metric on validation rows, if any."""
        scorers = self.scorers.items()
        names = [name for name, info in scorers if info.kind == kind and name != WITH_MODEL]
        return strongest(self.validation, names, metric)


def strongest(rows: PredictionTable, scorers: Iterable[str], metric: str) -> str | None:
    """Return which of some scorers has the highest metric; None if it is undefined for all."""
    values = {
        name: getattr(measure(rows.liked, rows.p_yes[name], rows.user_id), metric)
        for name in scorers
    }
    defined = {name: value for name, value in values.items() if value is not None}
    return max(defined, key=lambda name: defined[name]) if defined else None


def collect_predictions(
    loaded: LoadedModel,
    split: str,
    progress: ProgressFor,
    earlier: EarlierEvaluation | None = None,
    folder: Path | None = None,
    *,
    fuse: bool = True,
) -> CollectedPredictions:
    """Score the rows of a split, and the validation rows, with every scorer.

    Args:
        loaded: The model, loaded without calibration.
        earlier: Replaces the predictions of the models.
        folder: Where the evaluation is saved. It keeps finished predictions of the models until
            then, so that a killed evaluation resumes.
        fuse: Whether the adapter has a fusion with these data and prompts.

    Raises:
        DataError: The earlier predictions are of other rows.
    """
    section = loaded.config.evaluation
    reported = loaded.held_out(split, section.max_examples)
    limits = (section.max_examples, section.validation_examples)
    validation = loaded.held_out(
        VALIDATION, min((limit for limit in limits if limit is not None), default=None)
    )
    collected = CollectedPredictions(
        PredictionTable.of_events(loaded.folder, VALIDATION, validation.event),
        PredictionTable.of_events(loaded.folder, split, reported.event),
        scorer=ShardedScorer(loaded, folder and folder / PARTIAL_FOLDER),
        earlier=earlier,
    )
    if earlier is None:
        selected = [(VALIDATION, validation), (split, reported)]
        models = predict_models(loaded, selected, progress, collected.scorer)
    else:
        tables = collected.validation, collected.reported
        models = (
            (name, [table.of_scorer(name, earlier.predictions) for table in tables], None)
            for name in model_names(loaded)
        )
    fused: dict[str, tuple[ScorerInfo, Floats, Floats]] = {}
    for name, (on_validation, on_reported), seconds in models:
        if name == TUNED:
            fused = _fused(collected, loaded, on_validation, on_reported) if fuse else {}
            if SHIPPED in fused:
                collected.add(SHIPPED, *fused[SHIPPED])
            _add_tuned(collected, loaded, on_validation, on_reported, seconds)
        else:
            collected.add(BASE, ScorerInfo("base", {}, seconds), on_validation, on_reported)
            for other in fused.keys() - {SHIPPED}:
                collected.add(other, *fused[other])
    if section.baselines:
        _add_baselines(collected, loaded)
    return collected


def _add_tuned(
    collected: CollectedPredictions,
    loaded: LoadedModel,
    validation: Floats,
    reported: Floats,
    seconds: float | None,
) -> None:
    liked, scoring = collected.validation.liked, loaded.config.scoring
    collected.uncalibrated = reported
    if liked.any() and not liked.all():
        collected.calibration = fit_calibration(
            liked, validation, form=loaded.form, share_history=scoring.share_history
        )
    else:
        LOGGER.warning("no calibration: all %d validation rows have the same label", len(liked))
    if collected.calibration is not None and scoring.calibration != "none":
        validation = collected.calibration.apply(validation, scoring.calibration)
        reported = collected.calibration.apply(reported, scoring.calibration)
    settings: dict[str, Any] = {"calibration": scoring.calibration}
    if loaded.learned_from is not None:
        settings["learned_from"] = loaded.learned_from
    collected.add(TUNED, ScorerInfo("tuned", settings, seconds), validation, reported)


def _fused(
    collected: CollectedPredictions, loaded: LoadedModel, validation: Floats, reported: Floats
) -> dict[str, tuple[ScorerInfo, Floats, Floats]]:
    """Return what is shipped and the same with or without the model, by name, if it is used.

    On validation rows, P(Yes) of a user comes from weights fitted without them.
    """
    if loaded.adapter is None or loaded.config.scoring.fusion == "none":
        return {}
    rows = collected.validation
    fusion = _kept_fusion(collected, loaded)
    if fusion is None or fusion.rows < len(rows):
        fusion = fit_fusion(loaded, rows.event, validation)
        collected.new_fusion |= fusion is not None
    collected.fusion = fusion
    if fusion is None:
        return {}
    tables = rows, collected.reported
    events = np.concatenate([table.event for table in tables])
    # The features of all events are computed for any of them, so both tables share one call.
    both = event_inputs(loaded, fusion.parts, events, np.concatenate([validation, reported]))
    spans = slice(len(rows)), slice(len(rows), None)
    first, second = ({name: values[span] for name, values in both.items()} for span in spans)
    seed = fusion.parts.boosting.settings["seed"]
    if fusion.rows == len(rows) and seed == loaded.config.train.seed:
        collected.parts = {
            name: (expit(first[name]), expit(second[name])) for name in (BOOSTING, SEQUENCE)
        }
    if not fusion.used:
        return {}

    def p_yes(combination: Combination) -> tuple[Floats, Floats]:
        on_validation, on_reported = (
            expit(
                combination.log_odds(inputs, table.user_id if table.split == VALIDATION else None)
            )
            for table, inputs in zip(tables, (first, second), strict=True)
        )
        return on_validation, on_reported

    info = {"rows": fusion.rows}
    fused = {SHIPPED: (ScorerInfo("shipped", info), *p_yes(fusion.shipped))}
    other = ScorerInfo("signals", info)
    if fusion.uses_model:
        return fused | {WITHOUT_MODEL: (other, *p_yes(fusion.without_model))}
    return fused | {WITH_MODEL: (other, *p_yes(fusion.full))}


def _kept_fusion(collected: CollectedPredictions, loaded: LoadedModel) -> Fusion | None:
    """Return the fusion beside the adapter, if it is fitted for this model, data and prompts."""
    assert loaded.adapter is not None
    try:
        fusion = load_fusion(loaded.adapter)
    except ModelError as error:
        LOGGER.info("fusion: fitted anew, as the old one cannot be read (%s)", error.message)
        collected.new_fusion = True
        return None
    return None if fusion is None or fusion.unlike(loaded) else fusion


def _add_baselines(collected: CollectedPredictions, loaded: LoadedModel) -> None:
    from reeltune.baselines.score import (
        BASELINES,
        SEQUENCE_MODEL,
        score_baselines,
        signal_baselines,
        text_baselines,
    )

    kinds = loaded.settings.context
    with_text = text_baselines(kinds) if loaded.settings.item_text else {}
    with_signals = signal_baselines(kinds) | (with_text if kinds else {})
    baselines = {**with_signals, **with_text, **BASELINES}
    fitted = {SEQUENCE_MODEL: SEQUENCE}
    if with_text or with_signals:  # without either, the baseline has no users' folds
        fitted[[*with_signals, *with_text][-1]] = BOOSTING
    fitted = {name: part for name, part in fitted.items() if part in collected.parts}
    scores = score_baselines(
        loaded.folder,
        collected.validation.event,
        collected.reported.event,
        seed=loaded.config.train.seed,
        progress=partial(LOGGER.info, "fitting baseline: %s"),
        baselines={name: fit for name, fit in baselines.items() if name not in fitted},
    )
    for name in baselines:
        kind: Kind = "signals" if name in with_signals else "baseline"
        if name in fitted:
            LOGGER.info("baseline: %s is the one of the fusion", name)
            assert collected.fusion is not None
            part = getattr(collected.fusion.parts, fitted[name])
            collected.add(name, ScorerInfo(kind, part.settings), *collected.parts[fitted[name]])
            continue
        score = scores[name]
        settings = {**score.settings, "learned_from": score.learned_from}
        info = ScorerInfo(kind, settings, score.seconds)
        collected.add(name, info, score.validation, score.test)
