"""Recommendation quality: trained runs and classical baselines on the same held-out rows.

Runs of several seeds have each been evaluated before; their verdicts are read, not made again::

    reeltune evaluate --no-baselines --config ... --set train.output_dir=RUN     # for each seed
    python -m benchmarks.recommending --prepared data/movielens_qwen3 --runs RUN RUN RUN \
        --result benchmarks/results/quality_latest-small_user.json

Where the prompt tells evidence, "evidence alone" is a logistic regression on just what it tells:
how much of the result is the model's, and how much is the evidence's. Everything is fitted or
chosen on training and validation rows; test rows are scored once. Intervals and differences are
drawn with the same users for all scorers.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.common import command_line, common_options, write_result
from reeltune.baselines.evidence_alone import EVIDENCE_ALONE, score_evidence_alone
from reeltune.baselines.score import score_baselines
from reeltune.data.columns import TEST, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.evaluation.bootstrap import Bootstrapped, bootstrap
from reeltune.evaluation.calibration_error import errors_by_chance
from reeltune.evaluation.gather import BASE, TUNED, lowest_log_loss
from reeltune.evaluation.metrics import measure
from reeltune.evaluation.predictions import PREDICTIONS_FILE, Predictions, read_predictions
from reeltune.evaluation.thresholds import choose_threshold
from reeltune.evidence.folder import with_evidence
from reeltune.prompts.renderer import EVIDENCE, Evidence, PromptSettings
from reeltune.runs.folder import RunFolder
from reeltune.scoring.calibration import fit_calibration

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


_KEYS: Final = ("event", "user_id", "film_id", "position", "timestamp", "liked")


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


def add_evidence_alone(rows: Rows, prepared: Path, kinds: tuple[Evidence, ...]) -> None:
    """Add a logistic regression, learned on training rows, of what the prompt tells."""
    known = with_evidence(PreparedFolder.open(prepared), kinds).timelines
    found = score_evidence_alone(known, kinds, [own.event for own in rows.values()])
    assert found is not None
    for (split, own), p_yes in zip(list(rows.items()), found, strict=True):
        rows[split] = own.scored(EVIDENCE_ALONE, p_yes)


def add_baselines(rows: Rows, prepared: Path, seed: int) -> list[str]:
    """Add every classical baseline; return their names."""
    folder = PreparedFolder.open(prepared)
    scores = score_baselines(
        folder, rows[VALIDATION].event, rows[TEST].event, seed=seed, progress=print
    )
    for score in scores:
        rows[VALIDATION] = rows[VALIDATION].scored(score.name, score.validation)
        rows[TEST] = rows[TEST].scored(score.name, score.test)
    return [score.name for score in scores]


def add_others(rows: Rows, run: Path, prepared: Path, seed: int) -> tuple[str, list[Evidence]]:
    """Add whatever a run's verdicts are held against.

    Returns:
        The best baseline, and the kinds of evidence the run's prompts tell.
    """
    kinds = PromptSettings.from_dict(RunFolder(run).record()["prompt"]).evidence
    if kinds:
        add_evidence_alone(rows, prepared, kinds)
    baselines = add_baselines(rows, prepared, seed)
    best = lowest_log_loss(rows[VALIDATION], baselines)
    assert best is not None
    return best, list(kinds)


def drawn_of(rows: Rows, seed: int) -> Bootstrapped:
    """Return every scorer's metrics on test rows over draws of users."""
    thresholds = {
        name: choose_threshold(rows[VALIDATION].liked, p)
        for name, p in rows[VALIDATION].p_yes.items()
    }
    test = rows[TEST]
    return bootstrap(test.liked, test.user_id, test.p_yes, thresholds, seed)


def cases_of(rows: Rows, drawn: Bootstrapped) -> list[dict[str, Any]]:
    """Return every scorer's metrics with their intervals, and its AUC on validation rows."""
    cases = []
    for name in rows[TEST].p_yes:
        validation = rows[VALIDATION]
        on_validation = measure(validation.liked, validation.p_yes[name], validation.user_id)
        case: dict[str, Any] = {"case": name, "auc, validation": on_validation.auc}
        for metric in SHOWN:
            found = drawn.interval(name, metric)
            case[metric] = found.value if found else None
            if metric == "ece":
                case["ece_by_chance"] = float(errors_by_chance(rows[TEST].p_yes[name]).mean())
            case[f"{metric}_interval"] = [found.low, found.high] if found else None
        cases.append(case)
    return cases


def differences_of(
    rows: Rows, drawn: Bootstrapped, others: list[str], metric: str
) -> list[dict[str, Any]]:
    """Return what every tuned model has more than some others, drawn with the same users."""
    names = [name for name in rows[TEST].p_yes if name.startswith(TUNED)]
    found = []
    for name, other in product(names, others):
        gap = drawn.difference(name, other, metric)
        if gap is not None and not name.endswith(CALIBRATED):
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
    best, kinds = add_others(rows, options.runs[0], options.prepared, options.seed)
    test, drawn = rows[TEST], drawn_of(rows, options.seed)
    alone = [EVIDENCE_ALONE] if kinds else []
    others = list(dict.fromkeys([best, "logistic regression", *alone, BASE]))
    cases = cases_of(rows, drawn)
    of_auc = differences_of(rows, drawn, others, "auc")
    write_result(
        options.result,
        command_line("recommending", options, "prepared", "runs"),
        cases,
        rows=len(test),
        users=len(np.unique(test.user_id)),
        positive_rate=float(test.liked.mean()),
        evidence={kind: EVIDENCE[kind] for kind in kinds},
        best_baseline=best,
        differences_of_auc=of_auc,
        other_differences={
            metric: differences_of(rows, drawn, others, metric)
            for metric in ("auc_per_user_mean", "log_loss")
        },
        note=options.note,
    )
    for case in cases:
        print(
            f"{case['case']:40} AUC {case['auc']:.4f}, in a user "
            f"{case['auc_per_user_mean']:.4f}, log loss {case['log_loss']:.4f}, "
            f"ECE {case['ece']:.4f}"
        )
    for one in (gap for gap in of_auc if gap["less"] == best):
        print(
            f"{one['case']} less {best}: {one['value']:+.4f} ({one['low']:+.4f} to "
            f"{one['high']:+.4f})"
        )


if __name__ == "__main__":
    main()
