"""Fit the Gaussian process's hyperparameters: maximum likelihood of training ratings.

Whole training timelines of some users, with item statistics of the other folds, and Powell's
method. Held-out rows are not used; the AUC on validation rows is printed for comparison. With
``--and-of``, rows that any split of the same ratings holds out are excluded::

    python -m benchmarks.fit_gaussian_process --prepared data/movielens_qwen3 --and-of data/by_time
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from benchmarks.common import command_line, common_options, write_result
from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import SplitColumn, Timelines
from reeltune.domain import GP_HYPERPARAMETERS, GPHyperparameters
from reeltune.domain.context_lines import CHANCE_STEPS
from reeltune.evaluation.metrics import measure
from reeltune.signals.gaussian_process import GaussianProcess
from reeltune.signals.item_statistics import training_ratings
from reeltune.signals.source import SignalSource
from reeltune.signals.target import gp_target

MOST_EVENTS: Final = 400
"""Users with more are skipped: the cost is cubic in their number."""

Floats = npt.NDArray[np.float64]
Timeline = tuple[int, npt.NDArray[np.int64], Floats]


def held_out_by_any(known: Timelines, others: Sequence[Path]) -> Timelines:
    """Return events that are held out if any folder of the same ratings holds them out.

    Args:
        known: The events of one folder.
        others: More prepared folders.

    Raises:
        SystemExit: A folder has other events.
    """
    split = known.split
    for path in others:
        other = PreparedFolder.open(path).timelines
        if not (
            np.array_equal(other.user_id, known.user_id)
            and np.array_equal(other.item_idx, known.item_idx)
        ):
            raise SystemExit(f"{path}: other events. Prepare it from the same ratings")
        later = (other.split == TEST) | ((other.split == VALIDATION) & (split != TEST))
        split = SplitColumn.of(np.where(later, other.split, split))
    return replace(known, split=split)


def training_timelines(source: SignalSource, users: int, seed: int) -> list[Timeline]:
    """Return fold, items and targets of the training events of random users."""
    known = source.known
    training = np.zeros(len(known), dtype=np.bool_)
    training[training_ratings(known, np.flatnonzero(known.split == TRAIN))] = True
    timelines = []
    for user in np.random.default_rng(seed).permutation(np.unique(known.user_id)):
        first, end = np.searchsorted(known.user_id, [user, user + 1])
        events = first + np.flatnonzero(training[first:end])
        if 1 < len(events) <= MOST_EVENTS:
            targets = gp_target(known.rating[events], known.liked[events])
            items = known.item_idx[events].astype(np.int64)
            timelines.append((int(source.fold[first]), items, targets))
        if len(timelines) == users:
            break
    # By fold: the statistics of a fold serve all its users.
    return sorted(timelines, key=lambda timeline: timeline[0])


def negative_log_likelihood(gaussian_process: GaussianProcess, timelines: list[Timeline]) -> float:
    """Return the mean negative log-likelihood per event."""
    events = sum(len(items) for _, items, _ in timelines)
    total = sum(gaussian_process.posterior(*each).negative_log_likelihood() for each in timelines)
    return total / events


def fit(
    gaussian_process: GaussianProcess, timelines: list[Timeline], evaluations: int
) -> GPHyperparameters:
    """Return the hyperparameters of maximum likelihood.

    Args:
        gaussian_process: Its hyperparameters are the start.
        timelines: From :func:`training_timelines`.
        evaluations: Limit on evaluations of the likelihood.
    """
    names = list(asdict(gaussian_process.hyperparameters))

    def from_logarithms(logarithms: Floats) -> GPHyperparameters:
        return GPHyperparameters(**dict(zip(names, np.exp(logarithms).tolist(), strict=True)))

    optimum = minimize(
        lambda logarithms: negative_log_likelihood(
            gaussian_process.with_hyperparameters(from_logarithms(logarithms)), timelines
        ),
        np.log(list(asdict(gaussian_process.hyperparameters).values())),
        method="Powell",
        options={"maxfev": evaluations, "xtol": 0.02, "ftol": 1e-5},
    )
    return from_logarithms(optimum.x)


def main(arguments: list[str] | None = None) -> None:
    """Fit the hyperparameters and print them with those in use."""
    parser = common_options(__doc__ or "")
    parser.add_argument(
        "--and-of",
        type=Path,
        nargs="*",
        default=[],
        help="Prepared folders of the same ratings with other splits.",
    )
    parser.add_argument("--users", type=int, default=150)
    parser.add_argument("--tries", type=int, default=500, help="Evaluations of the likelihood.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    folder = PreparedFolder.open(options.prepared)
    known = held_out_by_any(folder.timelines, options.and_of)
    settings = replace(folder.prompt_settings, signals=("expected",))
    source = SignalSource(known, folder.items, settings)
    timelines = training_timelines(source, options.users, options.seed)
    fitted = fit(source.gaussian_process, timelines, options.tries)
    cases = []
    for name, hyperparameters in (("in use", GP_HYPERPARAMETERS), ("fitted", fitted)):
        source.gaussian_process = source.gaussian_process.with_hyperparameters(hyperparameters)
        case: dict[str, Any] = {
            "case": name,
            "negative_log_likelihood_per_event": negative_log_likelihood(
                source.gaussian_process, timelines
            ),
            "auc, validation": _auc_of(source),
            **asdict(hyperparameters),
        }
        cases.append(case)
        print({key: round(value, 4) if key != "case" else value for key, value in case.items()})
    shown = ("prepared", "and_of", "users", "tries", "seed")
    command = command_line("fit_gaussian_process", options, *shown)
    write_result(options.result, command, cases, note=options.note)


def _auc_of(source: SignalSource) -> float | None:
    """Return the AUC of the signal `expected` on validation rows."""
    rows = np.flatnonzero(source.known.split == VALIDATION)
    known = source.known.take(rows)
    expected = source.of_events()[rows, 0] / (CHANCE_STEPS - 1)
    return measure(known.liked, expected, known.user_id).auc


if __name__ == "__main__":
    main()
