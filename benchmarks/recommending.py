"""Recommendation quality: trained runs and classical baselines on the same held-out rows.

Reads the predictions of evaluated runs with several seeds::

    reeltune evaluate --no-baselines --config ... --set train.output_dir=RUN     # for each seed
    python -m benchmarks.recommending --prepared data/movielens_qwen3 --runs RUN RUN RUN \
        --result benchmarks/results/quality_latest-small_user.json

If the prompt has signals, classical methods with the same signals show what the model adds to them.
Where the runs have a fusion, what is shipped is compared with every other scorer, and with the same
fusion without the model, or with it.
Everything is fitted or chosen on training and validation rows; test rows are scored once. The best
baseline is chosen on validation rows by the metric that is compared. All intervals are computed on
the same bootstrap samples of users.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.common import command_line, common_options, write_result
from reeltune.baselines.score import BASELINES, score_baselines, signal_baselines
from reeltune.data.columns import TEST, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.domain import FILM, SIGNALS, PromptSettings, SignalKind
from reeltune.evaluation.collect import (
    BASE,
    RANKING_METRICS,
    SHIPPED,
    TUNED,
    WITH_MODEL,
    WITHOUT_MODEL,
    strongest,
)
from reeltune.evaluation.intervals import Bootstrap, bootstrap
from reeltune.evaluation.metrics import choose_threshold, measure
from reeltune.evaluation.predictions import PREDICTIONS_FILE, PredictionTable, read_predictions
from reeltune.evaluation.reliability import errors_by_chance
from reeltune.models.calibration import CALIBRATED as CALIBRATION_METHODS
from reeltune.models.calibration import fit_calibration
from reeltune.runs.folder import RunFolder
from reeltune.signals.folder import with_signals

SHOWN: Final = ("auc", "auc_per_user_mean", "log_loss", "brier", "ece", "accuracy", "ndcg_at_10")
CALIBRATED: Final = ", calibrated"

FUSED: Final = (SHIPPED, WITHOUT_MODEL, WITH_MODEL)

Rows = dict[str, PredictionTable]


def read_runs(runs: list[Path]) -> tuple[Rows, list[str]]:
    """Return the rows with the predictions of every run, and the names of the tuned models.

    Raises:
        SystemExit: The runs were evaluated on different rows.
    """
    tuned: list[str] = []
    rows: Rows = {}
    for run in runs:
        splits = read_predictions(run / "evaluation" / PREDICTIONS_FILE)
        record = RunFolder(run).record()
        seed = record["config"]["train"]["seed"]
        name = f"{TUNED}, seed {seed}"
        for split in (VALIDATION, TEST):
            table = splits[split]
            merged = rows.get(split)
            order = np.argsort(table.event, kind="stable")
            if merged is None:
                base = table.p_yes[BASE][order]
                merged = PredictionTable(
                    split, *(getattr(table, key)[order] for key in _KEYS), p_yes={BASE: base}
                )
            if not np.array_equal(merged.event, table.event[order]):
                raise SystemExit(f"{run} was evaluated on other {split} rows than {runs[0]}")
            merged = merged.scored(name, table.p_yes[TUNED][order])
            for fused in (each for each in FUSED if each in table.p_yes):
                merged = merged.scored(f"{fused}, seed {seed}", table.p_yes[fused][order])
            rows[split] = merged
        tuned.append(name)
    return rows, tuned


_KEYS: Final = ("event", "user_id", "item_id", "position", "timestamp", "liked")


def add_mean_and_calibrated(rows: Rows, tuned: list[str]) -> None:
    """Add the mean of the seeds' P(Yes), and Platt scaling of each, as the baselines have."""
    if len(tuned) > 1:
        for split, table in rows.items():
            mean = np.mean([table.p_yes[name] for name in tuned], axis=0)
            rows[split] = table.scored(f"{TUNED}, mean of the seeds", mean)
    validation = rows[VALIDATION]
    for name in [name for name in rows[TEST].p_yes if name.startswith(TUNED)]:
        calibration = fit_calibration(
            validation.liked, validation.p_yes[name], form="interview", share_history=True
        )
        for split, table in rows.items():
            p_yes = calibration.apply(table.p_yes[name], "platt")
            rows[split] = table.scored(f"{name}{CALIBRATED}", p_yes)


def add_baselines(
    rows: Rows, prepared: Path, kinds: tuple[SignalKind, ...], seed: int
) -> list[str]:
    """Add every classical method; return the names of those with the prompt's signals."""
    folder = PreparedFolder.open(prepared)
    same_signals = signal_baselines([SIGNALS[kind] for kind in kinds])
    scores = score_baselines(
        with_signals(folder, kinds) if kinds else folder,
        rows[VALIDATION].event,
        rows[TEST].event,
        seed=seed,
        progress=print,
        baselines={**same_signals, **BASELINES},
    )
    for name, score in scores.items():
        rows[VALIDATION] = rows[VALIDATION].scored(name, score.validation)
        rows[TEST] = rows[TEST].scored(name, score.test)
    return list(same_signals)


@dataclass(frozen=True)
class Competitors:
    """What runs are compared with.

    Attributes:
        kinds: The signals of the runs' prompts.
        same_signals: The classical methods with the same signals.
        best: By metric, the baseline with the highest value on validation rows.
    """

    kinds: tuple[SignalKind, ...]
    same_signals: list[str]
    best: dict[str, str]

    def of(self, metric: str) -> list[str]:
        """Return the scorers to compare a metric with."""
        return list(
            dict.fromkeys([self.best[metric], "logistic regression", *self.same_signals, BASE])
        )


def add_competitors(rows: Rows, run: Path, prepared: Path, seed: int) -> Competitors:
    """Add every scorer that runs are compared with."""
    kinds = PromptSettings.from_dict(RunFolder(run).record()["prompt"]).signals
    same_signals = add_baselines(rows, prepared, kinds, seed)
    best = {}
    for metric in RANKING_METRICS:
        name = strongest(rows[VALIDATION], BASELINES, metric)
        assert name is not None
        best[metric] = name
    return Competitors(kinds, same_signals, best)


def resample(rows: Rows, seed: int) -> Bootstrap:
    """Return every scorer's metrics on bootstrap samples of the test rows' users."""
    thresholds = {
        name: choose_threshold(rows[VALIDATION].liked, p)
        for name, p in rows[VALIDATION].p_yes.items()
    }
    test = rows[TEST]
    return bootstrap(test.liked, test.user_id, test.p_yes, thresholds, seed)


def cases_of(rows: Rows, resampled: Bootstrap) -> list[dict[str, Any]]:
    """Return every scorer's metrics with their intervals, and two on validation rows."""
    cases = []
    validation = rows[VALIDATION]
    for name in rows[TEST].p_yes:
        on_validation = measure(validation.liked, validation.p_yes[name], validation.user_id)
        case: dict[str, Any] = {
            "case": name,
            "auc, validation": on_validation.auc,
            "auc_per_user_mean, validation": on_validation.auc_per_user_mean,
        }
        for metric in SHOWN:
            interval = resampled.interval(name, metric)
            case[metric] = interval.value if interval else None
            if metric == "ece":
                case["ece_by_chance"] = float(errors_by_chance(rows[TEST].p_yes[name]).mean())
            else:
                case[f"{metric}_interval"] = [interval.low, interval.high] if interval else None
        cases.append(case)
    return cases


def calibration_errors(rows: Rows, tuned: list[str]) -> list[dict[str, Any]]:
    """Return the test ECE of every tuned model, uncalibrated and by calibration method."""
    validation, test = rows[VALIDATION], rows[TEST]
    cases = []
    for name in tuned:
        calibration = fit_calibration(
            validation.liked, validation.p_yes[name], form="interview", share_history=True
        )
        p_yes = {"uncalibrated": test.p_yes[name]} | {
            method: calibration.apply(test.p_yes[name], method) for method in CALIBRATION_METHODS
        }
        errors = {method: measure(test.liked, p, test.user_id).ece for method, p in p_yes.items()}
        cases.append({"case": name, **errors})
    return cases


def differences_of(
    rows: Rows, resampled: Bootstrap, others: list[str], metric: str, *, calibrated: bool = False
) -> list[dict[str, Any]]:
    """Return every tuned model minus some others, uncalibrated or calibrated."""
    names = [name for name in rows[TEST].p_yes if name.startswith(TUNED)]
    cases = []
    for name, other in product(names, others):
        gap = resampled.difference(name, other, metric)
        if gap is not None and name.endswith(CALIBRATED) == calibrated:
            ends = {"value": gap.value, "low": gap.low, "high": gap.high}
            cases.append({"case": name, "minus": other, **ends})
    return cases


def shipped_minus_each(rows: Rows, resampled: Bootstrap) -> list[dict[str, Any]]:
    """Return what each run ships minus every scorer that is not of another run, by metric."""
    cases = []
    for name in (each for each in rows[TEST].p_yes if each.startswith(f"{SHIPPED}, ")):
        seed = name.removeprefix(SHIPPED)
        for other in rows[TEST].p_yes:
            of_run = other.endswith(seed) or ", " not in other
            if other == name or not of_run:
                continue
            case: dict[str, Any] = {"case": name, "minus": other}
            for metric in ("auc", "auc_per_user_mean", "log_loss"):
                gap = resampled.difference(name, other, metric)
                case[metric] = gap and gap.value
                case[f"{metric}_interval"] = gap and [gap.low, gap.high]
            cases.append(case)
    return cases


def main(arguments: list[str] | None = None) -> None:
    """Read the runs' predictions, fit the baselines, write the result."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="Evaluated runs.")
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args(arguments)

    rows, tuned = read_runs(options.runs)
    add_mean_and_calibrated(rows, tuned)
    competitors = add_competitors(rows, options.runs[0], options.prepared, options.seed)
    test, resampled = rows[TEST], resample(rows, options.seed)
    cases = cases_of(rows, resampled)
    of_auc = differences_of(rows, resampled, competitors.of("auc"), "auc")
    shipped = shipped_minus_each(rows, resampled)
    per_user = competitors.of("auc_per_user_mean")
    write_result(
        options.result,
        command_line("recommending", options, "prepared", "runs"),
        cases,
        rows=len(test),
        users=resampled.users,
        users_with_both_labels=resampled.users_scored,
        positive_rate=float(test.liked.mean()),
        signals={kind: SIGNALS[kind].announced(FILM) for kind in competitors.kinds},
        best_baseline=competitors.best,
        differences_of_auc=of_auc,
        differences_of_auc_per_user=differences_of(rows, resampled, per_user, "auc_per_user_mean"),
        differences_of_log_loss=differences_of(
            rows, resampled, competitors.of("auc"), "log_loss", calibrated=True
        ),
        calibration_errors=calibration_errors(rows, tuned),
        **({"shipped_minus_each": shipped} if shipped else {}),
        note=options.note,
    )
    for case in cases:
        print(
            f"{case['case']:40} AUC {case['auc']:.4f}, per user "
            f"{case['auc_per_user_mean']:.4f}, log loss {case['log_loss']:.4f}, "
            f"ECE {case['ece']:.4f}"
        )
    for gap in of_auc:
        if gap["minus"] == competitors.best["auc"]:
            print(
                f"{gap['case']} minus {gap['minus']}: {gap['value']:+.4f} "
                f"({gap['low']:+.4f} to {gap['high']:+.4f})"
            )


if __name__ == "__main__":
    main()
