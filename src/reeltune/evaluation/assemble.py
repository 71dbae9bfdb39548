"""From verdicts to an evaluation: metrics, differences, breakdowns, what a reader has to know."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from reeltune.asking.subject import Subject
from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.evaluation.bootstrap import Bootstrapped, bootstrap
from reeltune.evaluation.breakdowns import breakdowns
from reeltune.evaluation.controls import controls
from reeltune.evaluation.examples import telling_examples
from reeltune.evaluation.gather import BASE, RANKING_METRICS, TUNED, Gathered, ProgressFor
from reeltune.evaluation.intervals import FEWEST_USERS
from reeltune.evaluation.reliability import reliability
from reeltune.evaluation.result import (
    Control,
    Difference,
    Evaluation,
    Kind,
    Reliability,
    ScorerResult,
)
from reeltune.evaluation.thresholds import choose_threshold
from reeltune.evaluation.user_sums import METRICS
from reeltune.scoring.calibration import CALIBRATED

FEW_ROWS: Final = 1000
"""Below this many rows, intervals are so wide that a reader is told."""

FEW_USERS: Final = 50
"""Below this many users, intervals are so narrow that a reader is told."""

AS_GIVEN: Final = "as the model gives it"


def assemble(subject: Subject, found: Gathered, progress: ProgressFor) -> Evaluation:
    """Return everything that is reported of a set of verdicts.

    Args:
        subject: The model and the data; the model is asked again for the controls.
        found: The verdicts of every scorer.
        progress: Gives, for a name, what is told after every batch.
    """
    rows, seed = found.judged, subject.config.train.seed
    main = TUNED if TUNED in rows.p_yes else BASE
    thresholds = {
        name: choose_threshold(found.validation.liked, p_yes)
        for name, p_yes in found.validation.p_yes.items()
    }
    draws = subject.config.evaluation.bootstrap_samples
    drawn = bootstrap(rows.liked, rows.user_id, rows.p_yes, thresholds, seed, draws)
    strongest = _strongest(found)
    best = strongest["auc"].get("baseline")
    shown = [name for name in (TUNED, BASE, best) if name in rows.p_yes]
    few = replace(rows, p_yes={name: rows.p_yes[name] for name in shown if name is not None})
    return Evaluation(
        about=_about(subject, found),
        split=rows.split,
        rows=len(rows),
        users=len(np.unique(rows.user_id)),
        positive_rate=float(rows.liked.mean()),
        scorers=_scorers(found, drawn, thresholds),
        differences=_differences(main, drawn),
        breakdowns=breakdowns(subject.folder, few, seed, draws),
        controls=_controls(subject, found, progress),
        reliability=_reliability(found),
        examples=telling_examples(
            subject.folder, rows, main, BASE if main == TUNED else None, best
        ),
        warnings=warnings(subject, found),
        strongest=strongest,
    )


def _scorers(
    found: Gathered, drawn: Bootstrapped, thresholds: dict[str, float]
) -> list[ScorerResult]:
    return [
        ScorerResult(
            name=name,
            kind=note.kind,
            metrics={metric: drawn.interval(name, metric) for metric in METRICS},
            threshold=thresholds[name],
            settings=note.settings,
            seconds=note.seconds,
        )
        for name, note in found.notes.items()
    ]


def _strongest(found: Gathered) -> dict[str, dict[Kind, str]]:
    kinds: tuple[Kind, ...] = ("baseline", "signals")
    return {
        metric: {
            kind: name for kind in kinds if (name := found.strongest(metric, kind)) is not None
        }
        for metric in RANKING_METRICS
    }


def _differences(main: str, drawn: Bootstrapped) -> list[Difference]:
    return [
        Difference(
            main, other, {metric: drawn.difference(main, other, metric) for metric in METRICS}
        )
        for other in drawn.values
        if other != main
    ]


def _controls(subject: Subject, found: Gathered, progress: ProgressFor) -> list[Control]:
    section = subject.config.evaluation
    if not subject.tuned or not section.ablation_examples:
        return []
    if found.earlier is not None:
        return found.earlier.controls
    return controls(
        subject,
        found.judged.event,
        subject.config.train.seed,
        progress,
        section.ablation_examples,
        section.bootstrap_samples,
    )


def _reliability(found: Gathered) -> list[Reliability]:
    """Return how reliable P(Yes) is: the tuned model's before and after, or the base model's."""
    liked = found.judged.liked
    if found.as_given is None:
        return [reliability(AS_GIVEN, liked, found.judged.p_yes[BASE])]
    shown = [reliability(AS_GIVEN, liked, found.as_given)]
    if found.calibration is not None:
        shown += [
            reliability(method, liked, found.calibration.apply(found.as_given, method))
            for method in CALIBRATED
        ]
    return shown


def warnings(subject: Subject, found: Gathered) -> list[str]:
    """Return what a reader has to know before trusting a number."""
    rows, meta = found.judged, subject.folder.meta
    listed = []
    available = int(meta["counts"][rows.split])
    if len(rows) < available:
        listed.append(
            f"Only {len(rows)} of the {available} {rows.split} rows were scored, a random sample "
            "of whole stretches of timelines. Set evaluation.max_examples to null to score all."
        )
    if len(rows) < FEW_ROWS:
        listed.append(f"{len(rows)} rows are few: read the intervals, not the figures.")
    users = len(np.unique(rows.user_id))
    if users < FEW_USERS:
        listed.append(
            f"{users} users are few: their intervals are too narrow, the fewer the more, and of "
            f"less than {FEWEST_USERS} there is none."
        )
    if rows.split == VALIDATION:
        listed.append(
            "These are validation rows. They chose thresholds, settings and calibration, and the "
            "training step that was kept, so every figure here flatters. Test rows do not."
        )
    if meta["settings"]["split"] == "user":
        listed.append(
            "Every user's timeline was cut by itself (split method user), so models and "
            "baselines have learned from ratings other users gave later than the rows judged here. "
            "With the method time they have not."
        )
    there = int(meta["counts"][TRAIN])
    baselines = subject.config.evaluation.baselines
    if baselines and found.learned_from is not None and found.learned_from < there:
        listed.append(
            f"The tuned model has learned from {found.learned_from} training rows, the baselines "
            f"from all {there}."
        )
    if found.earlier is not None:
        listed.append(
            "The models' verdicts are those of an earlier evaluation of this run; baselines, "
            "intervals and this page were made anew."
        )
    if rows.split == TEST and not subject.config.evaluation.baselines:
        listed.append("Classical baselines were left out: nothing says what is easy here.")
    if subject.config.scoring.calibration == "isotonic" and found.calibration is not None:
        listed.append(
            "The tuned model's threshold was chosen on the rows its isotonic curve was fitted on, "
            "so its accuracy and F1 at that threshold may be a little off."
        )
    if found.calibration is None and TUNED in rows.p_yes:
        listed.append("Without both labels among the validation rows nothing was calibrated.")
    return listed


def _about(subject: Subject, found: Gathered) -> dict[str, str]:
    config, meta = subject.config, subject.folder.meta
    settings = subject.tokens.renderer.settings
    rows = found.judged
    model = config.model.name_or_path
    return {
        "data": f"MovieLens, {meta['edition']}, split by {meta['settings']['split']}",
        "rows": f"{len(rows)} of {meta['counts'][rows.split]} {rows.split} rows",
        "chosen on": f"{len(found.validation)} validation rows",
        "model": f"{model}, with its adapter" if subject.tuned else f"{model}, without adapter",
        "prompt": f"form {settings.form}, version {settings.version}, history "
        f"{subject.folder.history_len} or more, layout {config.scoring.layout}",
        "calibration": config.scoring.calibration,
        "intervals": f"95 %, {config.evaluation.bootstrap_samples} draws of users, "
        f"seed {config.train.seed}",
        **{
            name: rest
            for name, _, rest in (line.partition(": ") for line in subject.base.choices.sentences())
        },
    }
