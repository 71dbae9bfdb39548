"""Recommendation quality: trained runs and classical baselines on the same held-out rows.

Runs of several seeds have each been evaluated before; their verdicts are read, not made again::

    reeltune evaluate --no-baselines --config ... --set train.output_dir=RUN     # for each seed
    python -m benchmarks.recommending --prepared data/movielens_qwen3 --runs RUN RUN RUN \
        --result benchmarks/results/quality_latest-small_user.json

Where the prompt tells evidence, classical methods that are told it too show how much of the result
is the model's, and how much is the evidence's. Everything is fitted or chosen on training and
validation rows; test rows are scored once. The baseline to beat is the best on validation rows by
the metric that is compared. Intervals and differences are drawn with the same users for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.common import command_line, common_options, write_result
from reeltune.baselines.score import BASELINES, score_baselines
from reeltune.baselines.signals import signal_baselines
from reeltune.data.columns import TEST, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.domain import SIGNALS, PromptSettings, SignalKind
from reeltune.evaluation.collect import (
    BASE,
    RANKING_METRICS,
    TUNED,
    RankingMetric,
    strongest,
)
from reeltune.evaluation.intervals import Bootstrap, bootstrap
from reeltune.evaluation.metrics import choose_threshold, measure
from reeltune.evaluation.predictions import PREDICTIONS_FILE, Predictions, read_predictions
from reeltune.evaluation.reliability import errors_by_chance
from reeltune.runs.folder import RunFolder
from reeltune.scoring.calibration import CALIBRATED as WAYS
from reeltune.scoring.calibration import fit_calibration
from reeltune.signals.folder import with_signals

SHOWN: Final = ("auc", "auc_per_user_mean", "log_loss", "brier", "ece", "accuracy", "ndcg_at_10")
CALIBRATED: Final = ", calibrated"

Rows = dict[str, Predictions]


def read_runs(runs: list[Path]) -> tuple[Rows, list[str]]:
    """Return the rows with the verdicts of every run, and the names of the tuned models.

    Raises:
        SystemExit: The runs were evaluated on different rows.
    """
    tuned: list[str] = []
    rows: Rows = {}
    for run in runs:
        found = read_predictions(run / "evaluation" / PREDICTIONS_FILE)
        record = RunFolder(run).record()
        name = f"{TUNED}, seed {record['config']['train']['seed']}"
        for split in (VALIDATION, TEST):
            own = found[split]
            kept = rows.get(split)
            order = np.argsort(own.event, kind="stable")
            if kept is None:
                base = own.p_yes[BASE][order]
                kept = Predictions(
                    split, *(getattr(own, key)[order] for key in _KEYS), p_yes={BASE: base}
                )
            if not np.array_equal(kept.event, own.event[order]):
                raise SystemExit(f"{run} was evaluated on other {split} rows than {runs[0]}")
            rows[split] = kept.scored(name, own.p_yes[TUNED][order])
        tuned.append(name)
    return rows, tuned


_KEYS: Final = ("event", "user_id", "item_id", "position", "timestamp", "liked")


def add_mean_and_calibrated(rows: Rows, tuned: list[str]) -> None:
    """Add the mean of the seeds' P(Yes), and each calibrated on validation rows.

    Platt's way is also the one by which baselines that expect stars come to P(Yes).
    """
    if len(tuned) > 1:
        for split, own in rows.items():
            mean = np.mean([own.p_yes[name] for name in tuned], axis=0)
            rows[split] = own.scored(f"{TUNED}, mean of the seeds", mean)
    held = rows[VALIDATION]
    for name in [name for name in rows[TEST].p_yes if name.startswith(TUNED)]:
        learned = fit_calibration(held.liked, held.p_yes[name], form="interview", layout="blocks")
        for split, own in rows.items():
            told = learned.apply(own.p_yes[name], "platt")
            rows[split] = own.scored(f"{name}{CALIBRATED}", told)


def add_baselines(
    rows: Rows, prepared: Path, kinds: tuple[SignalKind, ...], seed: int
) -> list[str]:
    """Add every classical method; return the names of those told what the prompts tell."""
    folder = PreparedFolder.open(prepared)
    told = signal_baselines([SIGNALS[kind] for kind in kinds])
    scores = score_baselines(
        with_signals(folder, kinds) if kinds else folder,
        rows[VALIDATION].event,
        rows[TEST].event,
        seed=seed,
        progress=print,
        baselines={**told, **BASELINES},
    )
    for name, score in scores.items():
        rows[VALIDATION] = rows[VALIDATION].scored(name, score.validation)
        rows[TEST] = rows[TEST].scored(name, score.test)
    return list(told)


@dataclass(frozen=True)
class Rivals:
    """What runs are held against.

    Attributes:
        kinds: The kinds of evidence the runs' prompts tell.
        told: The classical methods that are told it too.
        best: By metric, the baseline with the highest value on validation rows.
    """

    kinds: tuple[SignalKind, ...]
    told: list[str]
    best: dict[RankingMetric, str]

    def of(self, metric: RankingMetric) -> list[str]:
        """Return whom a metric is compared with."""
        return list(dict.fromkeys([self.best[metric], "logistic regression", *self.told, BASE]))


def add_rivals(rows: Rows, run: Path, prepared: Path, seed: int) -> Rivals:
    """Add whatever a run's verdicts are held against."""
    kinds = PromptSettings.from_dict(RunFolder(run).record()["prompt"]).signals
    told = add_baselines(rows, prepared, kinds, seed)
    best = {}
    for metric in RANKING_METRICS:
        found = strongest(rows[VALIDATION], BASELINES, metric)
        assert found is not None
        best[metric] = found
    return Rivals(kinds, told, best)


def drawn_of(rows: Rows, seed: int) -> Bootstrap:
    """Return every scorer's metrics on test rows over draws of users."""
    thresholds = {
        name: choose_threshold(rows[VALIDATION].liked, p)
        for name, p in rows[VALIDATION].p_yes.items()
    }
    test = rows[TEST]
    return bootstrap(test.liked, test.user_id, test.p_yes, thresholds, seed)


def cases_of(rows: Rows, drawn: Bootstrap) -> list[dict[str, Any]]:
    """Return every scorer's metrics with their intervals, and two on validation rows."""
    cases = []
    held = rows[VALIDATION]
    for name in rows[TEST].p_yes:
        on_validation = measure(held.liked, held.p_yes[name], held.user_id)
        case: dict[str, Any] = {
            "case": name,
            "auc, validation": on_validation.auc,
            "auc_per_user_mean, validation": on_validation.auc_per_user_mean,
        }
        for metric in SHOWN:
            found = drawn.interval(name, metric)
            case[metric] = found.value if found else None
            if metric == "ece":
                case["ece_by_chance"] = float(errors_by_chance(rows[TEST].p_yes[name]).mean())
            else:
                case[f"{metric}_interval"] = [found.low, found.high] if found else None
        cases.append(case)
    return cases


def calibration_errors(rows: Rows, tuned: list[str]) -> list[dict[str, Any]]:
    """Return the ECE on test rows of every tuned model, as given and calibrated in every way."""
    held, test = rows[VALIDATION], rows[TEST]
    found = []
    for name in tuned:
        learned = fit_calibration(held.liked, held.p_yes[name], form="interview", layout="blocks")
        ways = {"as the model gives it": test.p_yes[name]} | {
            way: learned.apply(test.p_yes[name], way) for way in WAYS
        }
        errors = {way: measure(test.liked, p, test.user_id).ece for way, p in ways.items()}
        found.append({"case": name, **errors})
    return found


def differences_of(
    rows: Rows, drawn: Bootstrap, others: list[str], metric: str, *, calibrated: bool = False
) -> list[dict[str, Any]]:
    """Return what every tuned model has more than some others, drawn with the same users.

    Calibration changes no order: calibrated ones are asked for where the level counts.
    """
    names = [name for name in rows[TEST].p_yes if name.startswith(TUNED)]
    found = []
    for name, other in product(names, others):
        gap = drawn.difference(name, other, metric)
        if gap is not None and name.endswith(CALIBRATED) == calibrated:
            ends = {"value": gap.value, "low": gap.low, "high": gap.high}
            found.append({"case": name, "less": other, **ends})
    return found


def main(arguments: list[str] | None = None) -> None:
    """Read the runs' verdicts, fit the baselines, write the result."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="Evaluated runs.")
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args(arguments)

    rows, tuned = read_runs(options.runs)
    add_mean_and_calibrated(rows, tuned)
    rivals = add_rivals(rows, options.runs[0], options.prepared, options.seed)
    test, drawn = rows[TEST], drawn_of(rows, options.seed)
    cases = cases_of(rows, drawn)
    of_auc = differences_of(rows, drawn, rivals.of("auc"), "auc")
    within = rivals.of("auc_per_user_mean")
    write_result(
        options.result,
        command_line("recommending", options, "prepared", "runs"),
        cases,
        rows=len(test),
        users=drawn.users,
        users_with_both_labels=drawn.users_scored,
        positive_rate=float(test.liked.mean()),
        signals={kind: SIGNALS[kind].announcement for kind in rivals.kinds},
        best_baseline=rivals.best,
        differences_of_auc=of_auc,
        differences_of_auc_in_a_user=differences_of(rows, drawn, within, "auc_per_user_mean"),
        differences_of_log_loss=differences_of(
            rows, drawn, rivals.of("auc"), "log_loss", calibrated=True
        ),
        calibration_errors=calibration_errors(rows, tuned),
        note=options.note,
    )
    for case in cases:
        print(
            f"{case['case']:40} AUC {case['auc']:.4f}, in a user "
            f"{case['auc_per_user_mean']:.4f}, log loss {case['log_loss']:.4f}, "
            f"ECE {case['ece']:.4f}"
        )
    for one in (gap for gap in of_auc if gap["less"] == rivals.best["auc"]):
        print(
            f"{one['case']} less {one['less']}: {one['value']:+.4f} ({one['low']:+.4f} to "
            f"{one['high']:+.4f})"
        )


if __name__ == "__main__":
    main()
