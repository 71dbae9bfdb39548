"""From predictions to an evaluation: metrics, differences, breakdowns, ablations, warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.data.meta import data_source, movielens_edition
from reeltune.evaluation.ablations import measure_ablations
from reeltune.evaluation.breakdowns import breakdowns, cold_to_warm
from reeltune.evaluation.collect import (
    BASE,
    RANKING_METRICS,
    SHIPPED,
    TUNED,
    CollectedPredictions,
    ProgressFor,
)
from reeltune.evaluation.custom_metrics import CustomMetric
from reeltune.evaluation.examples import notable_examples
from reeltune.evaluation.intervals import MIN_USERS, Bootstrap, bootstrap
from reeltune.evaluation.metrics import choose_threshold
from reeltune.evaluation.reliability import reliability
from reeltune.evaluation.result import (
    Ablation,
    Difference,
    Evaluation,
    Kind,
    Reliability,
    ScorerResult,
)
from reeltune.evaluation.top_ten import top_ten
from reeltune.models.calibration import CALIBRATED
from reeltune.models.loaded_model import LoadedModel
from reeltune.prompts.rows import layout_name
from reeltune.runs.log import LOGGER

FEW_ROWS: Final = 1000
FEW_USERS: Final = 50

UNCALIBRATED: Final = "uncalibrated"


def evaluate(
    loaded: LoadedModel,
    collected: CollectedPredictions,
    progress: ProgressFor,
    metrics: Mapping[str, CustomMetric] | None = None,
) -> Evaluation:
    """Compute everything that is reported from the predictions of every scorer.

    Args:
        metrics: Further metrics by name, each a function of labels, P(Yes) and users. They get
            intervals and differences like the built-in ones.

    Raises:
        ConfigError: A metric has an invalid name, raises or returns no number.
    """
    rows, seed = collected.reported, loaded.config.train.seed
    models = [name for name in (SHIPPED, TUNED) if name in rows.p_yes] or [BASE]
    main = models[0]
    thresholds = {
        name: choose_threshold(collected.validation.liked, p_yes)
        for name, p_yes in collected.validation.p_yes.items()
    }
    samples = loaded.config.evaluation.bootstrap_samples
    LOGGER.info(
        "intervals (%d bootstrap samples, %d scorers), breakdowns and ablations",
        samples,
        len(rows.p_yes),
    )
    resampled = bootstrap(rows.liked, rows.user_id, rows.p_yes, thresholds, seed, samples, metrics)
    strongest = _strongest(collected)
    best = strongest["auc"].get("baseline")
    leads = {name: rows.p_yes[name] for name in (SHIPPED, TUNED, BASE, best) if name in rows.p_yes}
    return Evaluation(
        about=_about(loaded, collected),
        split=rows.split,
        rows=len(rows),
        users=resampled.users,
        positive_rate=float(rows.liked.mean()),
        scorers=_scorers(collected, resampled, thresholds),
        differences=_differences(models, resampled),
        breakdowns=breakdowns(loaded.folder, replace(rows, p_yes=leads), main, seed, samples),
        ablations=_ablations(loaded, collected, progress),
        reliability=_reliability(collected),
        examples=notable_examples(loaded.folder, rows, main, BASE if main != BASE else None, best),
        warnings=[*_row_warnings(loaded, collected), *_method_warnings(loaded, collected)],
        strongest=strongest,
        custom_metrics=list(metrics or ()),
        cold_to_warm=cold_to_warm(loaded.folder, rows, main, seed, samples),
        top_ten=top_ten(loaded.folder, rows, seed, samples),
        fusion={} if collected.fusion is None else collected.fusion.summary(),
    )


def _strongest(collected: CollectedPredictions) -> dict[str, dict[Kind, str]]:
    kinds: tuple[Kind, ...] = ("baseline", "signals")
    return {
        metric: {
            kind: name for kind in kinds if (name := collected.strongest(metric, kind)) is not None
        }
        for metric in RANKING_METRICS
    }


def _scorers(
    collected: CollectedPredictions, resampled: Bootstrap, thresholds: dict[str, float]
) -> list[ScorerResult]:
    return [
        ScorerResult(
            name=name,
            kind=info.kind,
            metrics={metric: resampled.interval(name, metric) for metric in resampled.metrics},
            threshold=thresholds[name],
            settings=info.settings,
            seconds=info.seconds,
        )
        for name, info in collected.scorers.items()
    ]


def _differences(models: list[str], resampled: Bootstrap) -> list[Difference]:
    return [
        Difference(
            model,
            other,
            {metric: resampled.difference(model, other, metric) for metric in resampled.metrics},
        )
        for index, model in enumerate(models)
        for other in resampled.values
        if other not in models[: index + 1]
    ]


def _ablations(
    loaded: LoadedModel, collected: CollectedPredictions, progress: ProgressFor
) -> list[Ablation]:
    section = loaded.config.evaluation
    if not loaded.has_adapter or not section.ablation_examples:
        return []
    if collected.earlier is not None:
        return collected.earlier.ablations
    return measure_ablations(
        loaded,
        collected.reported.event,
        loaded.config.train.seed,
        progress,
        section.ablation_examples,
        section.bootstrap_samples,
        collected.scorer,
    )


def _reliability(collected: CollectedPredictions) -> list[Reliability]:
    """Return that of the fusion, and of the tuned model with every calibration, or of the base."""
    liked, p_yes = collected.reported.liked, collected.uncalibrated
    if p_yes is None:
        p_yes = collected.reported.p_yes[BASE]
    shipped = collected.reported.p_yes.get(SHIPPED)
    by_method = {} if shipped is None else {SHIPPED: shipped}
    by_method[UNCALIBRATED] = p_yes
    if collected.calibration is not None:
        by_method |= {method: collected.calibration.apply(p_yes, method) for method in CALIBRATED}
    return [reliability(method, liked, values) for method, values in by_method.items()]


def _row_warnings(loaded: LoadedModel, collected: CollectedPredictions) -> list[str]:
    """Return reasons to doubt the figures that come from the rows."""
    rows, meta = collected.reported, loaded.folder.meta
    available, users = int(meta["counts"][rows.split]), len(np.unique(rows.user_id))
    listed = []
    if len(rows) < available:
        listed.append(
            f"Only {len(rows)} of {available} {rows.split} rows were scored: a random sample of "
            "blocks of successive rows. Set evaluation.max_examples to null to score all rows."
        )
    if len(rows) < FEW_ROWS:
        listed.append(f"{len(rows)} rows are few, so the intervals are wide.")
    if users < FEW_USERS:
        listed.append(
            f"{users} users are few, so the intervals are too narrow. With fewer than {MIN_USERS} "
            "users no interval is reported."
        )
    if rows.split == VALIDATION:
        listed.append(
            "These are validation rows. Thresholds, settings, calibration and the training step "
            "were chosen on them, so every figure is optimistic. Use test rows instead."
        )
    if (kind := meta["settings"]["split"]) != "time":
        listed.append(
            f"Split method: {kind}. Models and baselines were trained on ratings that other users "
            "gave later than these rows. The split method time avoids this."
        )
    return listed


def _method_warnings(loaded: LoadedModel, collected: CollectedPredictions) -> list[str]:
    """Return reasons to doubt the figures that come from training, baselines and calibration."""
    section, calibration = loaded.config.evaluation, loaded.config.scoring.calibration
    learned_from, training_rows = loaded.learned_from, int(loaded.folder.meta["counts"][TRAIN])
    listed = []
    if section.baselines and learned_from is not None and learned_from < training_rows:
        listed.append(
            f"The tuned model was trained on {learned_from} rows, the baselines on all "
            f"{training_rows}."
        )
    shown = np.minimum(collected.reported.position, loaded.folder.history_len)
    if short := int((shown < loaded.trained_history).sum()):
        listed.append(
            f"{short} rows have shorter histories than all that the tuned model was trained on "
            f"({loaded.trained_history} ratings or more), so it is less reliable there."
        )
    if collected.earlier is not None:
        listed.append(
            "The models' predictions come from an earlier evaluation of this run; baselines and "
            "intervals are new."
        )
    if collected.reported.split == TEST and not section.baselines:
        listed.append("Without baselines, nothing shows how easy these rows are.")
    if calibration == "isotonic" and collected.calibration is not None:
        listed.append(
            "The tuned model's threshold was chosen on the rows of its isotonic calibration, so "
            "its accuracy and F1 at that threshold may be slightly off."
        )
    if collected.calibration is None and TUNED in collected.reported.p_yes:
        listed.append("No calibration was fitted: all validation rows have the same label.")
    return listed


def _about(loaded: LoadedModel, collected: CollectedPredictions) -> dict[str, str]:
    config, meta, settings = loaded.config, loaded.folder.meta, loaded.settings
    rows, credit = collected.reported, ""
    if movielens_edition(meta) is not None:
        credit = ", by GroupLens at the University of Minnesota (Harper and Konstan 2015)"
    adapter = "with adapter" if loaded.has_adapter else "without adapter"
    choices = (line.partition(": ") for line in loaded.base.choices.describe())
    return {
        "data": f"{data_source(meta)}{credit}, split by {meta['settings']['split']}",
        "rows": f"{len(rows)} of {meta['counts'][rows.split]} {rows.split} rows",
        "chosen on": f"{len(collected.validation)} validation rows",
        "model": f"{config.model.name_or_path}, {adapter}",
        "prompt": f"form {settings.form}, version {settings.version}, history "
        f"{loaded.folder.min_history} or more, layout {layout_name(config.scoring.share_history)}",
        "calibration": config.scoring.calibration,
        "intervals": f"95 %, {config.evaluation.bootstrap_samples} bootstrap samples of users, "
        f"seed {config.train.seed}",
        **{name: value for name, _, value in choices},
    }


def prompt_facts(loaded: LoadedModel) -> dict[str, Any]:
    """Return the data and the prompt of a model, for JSON."""
    return {
        "edition": loaded.folder.meta["edition"],
        "domain": loaded.settings.domain.to_dict(),
        "prompt_version": loaded.settings.version,
        "form": loaded.form,
        "layout": layout_name(loaded.config.scoring.share_history),
        "block_size": loaded.config.train.block_size,
        "choices": list(loaded.base.choices.describe()),
    }
