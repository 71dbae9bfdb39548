"""Every scorer on the same rows: the tuned model, its base, classical baselines, an average."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import numpy as np

from reeltune.asking.subject import Subject
from reeltune.data.columns import VALIDATION
from reeltune.evaluation.metrics import measure
from reeltune.evaluation.predictions import Predictions, verdicts_on
from reeltune.evaluation.result import Control, Kind
from reeltune.runs.log import LOGGER
from reeltune.scoring.calibration import Calibration, fit_calibration
from reeltune.scoring.scorer import Progress

TUNED: Final = "tuned"
BASE: Final = "base"

RankingMetric = Literal["auc", "auc_per_user_mean"]
"""What scorers are chosen by: how well they order all rows, or those of each user."""

RANKING_METRICS: Final[tuple[RankingMetric, ...]] = get_args(RankingMetric)

ProgressFor = Callable[[str], Progress | None]


@dataclass(frozen=True)
class ScorerNote:
    """What is known of a scorer beside its verdicts.

    Attributes:
        kind: What it is.
        settings: What was chosen for it on validation rows.
        seconds: What fitting and scoring took.
    """

    kind: Kind
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class Earlier:
    """What an earlier evaluation of the same rows has asked the models for.

    Attributes:
        verdicts: The rows with P(Yes) of every scorer, by split.
        controls: Of the tuned model.
    """

    verdicts: dict[str, Predictions]
    controls: list[Control]


@dataclass
class Gathered:
    """All verdicts. Scorers are added one after another, on validation and on judged rows alike.

    Attributes:
        validation: The rows that choose thresholds, settings and calibration.
        judged: The rows that are reported.
        notes: Every scorer by name, in the order of the verdicts.
        calibration: Learned on the tuned model's validation rows; None without an adapter, or
            where all of them have one label.
        as_given: P(Yes) of the tuned model on the judged rows before any calibration; None without
            an adapter.
        learned_from: Training rows the tuned model has learned from; None where that is not known.
        earlier: What the models were asked for earlier, and not again; None if they were asked.
    """

    validation: Predictions
    judged: Predictions
    notes: dict[str, ScorerNote] = field(default_factory=dict)
    calibration: Calibration | None = None
    as_given: np.ndarray | None = None
    learned_from: int | None = None
    earlier: Earlier | None = None

    def add(self, name: str, note: ScorerNote, validation: np.ndarray, judged: np.ndarray) -> None:
        """Add the verdicts of one scorer."""
        self.validation = self.validation.scored(name, validation)
        self.judged = self.judged.scored(name, judged)
        self.notes[name] = note

    def strongest(self, metric: RankingMetric, kind: Kind) -> str | None:
        """Return the scorer of a kind with the highest value on validation rows; None without."""
        own = [name for name, note in self.notes.items() if note.kind == kind]
        return strongest(self.validation, own, metric)


def strongest(rows: Predictions, scorers: Iterable[str], metric: RankingMetric) -> str | None:
    """Return which of some scorers has the highest value of a metric; None where none has any."""
    values = {
        name: getattr(measure(rows.liked, rows.p_yes[name], rows.user_id), metric)
        for name in scorers
    }
    defined = {name: value for name, value in values.items() if value is not None}
    return max(defined, key=lambda name: defined[name]) if defined else None


def gather(
    subject: Subject,
    split: str,
    progress: ProgressFor,
    said: Callable[[str], None],
    earlier: Earlier | None = None,
) -> Gathered:
    """Let every scorer judge the rows of a split, and the validation rows.

    Args:
        subject: The model, loaded without calibration, and the data.
        split: The rows that are reported.
        progress: Gives, for a name, what is told after every batch of a model.
        said: Told the name of each baseline before it begins.
        earlier: Verdicts of the models on the same rows; they are not asked again.

    Raises:
        DataError: The earlier verdicts are on other rows.
    """
    section = subject.config.evaluation
    judged = subject.asked(split, section.max_examples)
    validation = subject.asked(VALIDATION, section.validation_examples)
    found = Gathered(
        Predictions.of_events(subject.folder, VALIDATION, validation.event),
        Predictions.of_events(subject.folder, split, judged.event),
        earlier=earlier,
    )

    def by_model(name: str) -> tuple[np.ndarray, np.ndarray, float | None]:
        if earlier is not None:
            rows = found.validation, found.judged
            kept = [verdicts_on(one, earlier.verdicts, name) for one in rows]
            return kept[0], kept[1], None
        began = time.perf_counter()
        p_yes = [
            subject.scorer(rows.sequences).score(rows.sequences, progress(f"{name}, {of}")).p_yes
            for rows, of in ((validation.rows, VALIDATION), (judged.rows, split))
        ]
        return p_yes[0], p_yes[1], time.perf_counter() - began

    if subject.tuned:
        _add_tuned(found, subject, *by_model(TUNED))
    with subject.without_adapter():
        on_validation, on_judged, seconds = by_model(BASE)
    found.add(BASE, ScorerNote("base", seconds=seconds), on_validation, on_judged)
    if section.baselines:
        _add_baselines(found, subject, said)
    best = found.strongest("auc", "baseline")
    if subject.tuned and best is not None:
        _add_average(found, best)
    return found


def _add_tuned(
    found: Gathered,
    subject: Subject,
    validation: np.ndarray,
    judged: np.ndarray,
    seconds: float | None,
) -> None:
    liked, scoring = found.validation.liked, subject.config.scoring
    found.as_given = judged
    found.learned_from = subject.learned_from
    if liked.any() and not liked.all():
        form = subject.tokens.renderer.settings.form
        found.calibration = fit_calibration(liked, validation, form=form, layout=scoring.layout)
    else:
        LOGGER.warning("no calibration: all %d validation rows have one label", len(liked))
    if found.calibration is not None and scoring.calibration != "none":
        validation = found.calibration.apply(validation, scoring.calibration)
        judged = found.calibration.apply(judged, scoring.calibration)
    settings: dict[str, Any] = {"calibration": scoring.calibration}
    if found.learned_from is not None:
        settings["learned_from"] = found.learned_from
    note = ScorerNote("tuned", settings, seconds)
    found.add(TUNED, note, validation, judged)


def _add_baselines(found: Gathered, subject: Subject, said: Callable[[str], None]) -> None:
    """Add classical methods: those that are told what the prompt tells, and the others."""
    from reeltune.baselines.score import BASELINES, score_baselines
    from reeltune.baselines.signals import signal_baselines

    told = signal_baselines(subject.tokens.renderer.settings.context)
    scores = score_baselines(
        subject.folder,
        found.validation.event,
        found.judged.event,
        seed=subject.config.train.seed,
        progress=said,
        baselines={**told, **BASELINES},
    )
    for score in scores:
        settings = {**score.settings, "learned_from": score.learned_from}
        kind: Kind = "signals" if score.name in told else "baseline"
        note = ScorerNote(kind, settings, score.seconds)
        found.add(score.name, note, score.validation, score.test)


def _add_average(found: Gathered, best: str) -> None:
    """Add the mean of the tuned model's P(Yes) and the best baseline's."""

    def mean(rows: Predictions) -> np.ndarray:
        return (rows.p_yes[TUNED] + rows.p_yes[best]) / 2

    note = ScorerNote("average", {"of": [TUNED, best]})
    found.add(f"{TUNED} + {best}", note, mean(found.validation), mean(found.judged))
