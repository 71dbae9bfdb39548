"""Weights of what to expect: those that make training ratings most likely.

Training timelines of some users are taken whole, each seen by users of other parts alone, and the
weights are moved until nothing makes them more likely (Powell's method). Held-out rows have no part
in it; what they say of the weights is printed beside. Weights for several splits of the same
ratings may be learned from no row that any of them holds out::

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
from reeltune.domain.context_lines import CHANCE_STEPS
from reeltune.evaluation.metrics import measure
from reeltune.signals.gaussian_process import GaussianProcess
from reeltune.signals.gp_hyperparameters import GP_HYPERPARAMETERS, GPHyperparameters
from reeltune.signals.item_statistics import training_ratings
from reeltune.signals.source import SignalSource
from reeltune.signals.target import gp_target

MOST_EVENTS: Final = 400
"""Users with more are left out, as each try costs the cube of their number."""

Floats = npt.NDArray[np.float64]
Timeline = tuple[int, npt.NDArray[np.int64], Floats]


def held_out_by_any(known: Timelines, others: Sequence[Path]) -> Timelines:
    """Return events with the latest split that any folder of the same ratings puts each in.

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


def learned_timelines(source: SignalSource, users: int, seed: int) -> list[Timeline]:
    """Return part, films and outcomes of what may be learned of some users, drawn at random."""
    known = source.known
    learned = np.zeros(len(known), dtype=np.bool_)
    learned[training_ratings(known, np.flatnonzero(known.split == TRAIN))] = True
    found = []
    for user in np.random.default_rng(seed).permutation(np.unique(known.user_id)):
        first, end = np.searchsorted(known.user_id, [user, user + 1])
        own = first + np.flatnonzero(learned[first:end])
        if 1 < len(own) <= MOST_EVENTS:
            targets = gp_target(known.rating[own], known.liked[own])
            found.append((int(source.fold[first]), known.item_idx[own].astype(np.int64), targets))
        if len(found) == users:
            break
    # Part after part: what is made for one serves all its users.
    return sorted(found, key=lambda one: one[0])


def negative_log_likelihood(gaussian_process: GaussianProcess, timelines: list[Timeline]) -> float:
    """Return the negative log-likelihood of an event, on average."""
    events = sum(len(items) for _, items, _ in timelines)
    return (
        sum(gaussian_process.posterior(*one).negative_log_likelihood() for one in timelines)
        / events
    )


def fit(
    gaussian_process: GaussianProcess, timelines: list[Timeline], tries: int
) -> GPHyperparameters:
    """Return the weights that make timelines most likely.

    Args:
        gaussian_process: Begins with its weights.
        timelines: From :func:`learned_timelines`.
        tries: How many weights are tried at most.
    """
    names = list(asdict(gaussian_process.hyperparameters))

    def weights_of(logarithms: Floats) -> GPHyperparameters:
        return GPHyperparameters(**dict(zip(names, np.exp(logarithms).tolist(), strict=True)))

    found = minimize(
        lambda logarithms: negative_log_likelihood(
            gaussian_process.with_hyperparameters(weights_of(logarithms)), timelines
        ),
        np.log(list(asdict(gaussian_process.hyperparameters).values())),
        method="Powell",
        options={"maxfev": tries, "xtol": 0.02, "ftol": 1e-5},
    )
    return weights_of(found.x)


def main(arguments: list[str] | None = None) -> None:
    """Fit the weights and print them beside those in use."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--and-of", type=Path, nargs="*", default=[], help="Of the same ratings.")
    parser.add_argument("--users", type=int, default=150)
    parser.add_argument("--tries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    folder = PreparedFolder.open(options.prepared)
    known = held_out_by_any(folder.timelines, options.and_of)
    settings = folder.prompt_settings
    source = SignalSource(
        known, folder.items, settings.threshold, settings.scale.step, ("expected",)
    )
    timelines = learned_timelines(source, options.users, options.seed)
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
    """Return the AUC of what is expected of validation rows."""
    rows = np.flatnonzero(source.known.split == VALIDATION)
    known = source.known.take(rows)
    expected = source.of_events()[rows, 0] / (CHANCE_STEPS - 1)
    return measure(known.liked, expected, known.user_id).auc


if __name__ == "__main__":
    main()
