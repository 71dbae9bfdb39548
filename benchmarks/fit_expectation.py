"""Weights of what to expect: those that make training ratings most likely.

Training timelines of some users are taken whole, each seen by users of other parts alone, and the
weights are moved until nothing makes them more likely (Powell's method). Held-out rows have no part
in it; what they say of the weights is printed beside. Weights for several splits of the same
ratings may be learned from no row that any of them holds out::

    python -m benchmarks.fit_expectation --prepared data/movielens_qwen3 --and-of data/by_time
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
from reeltune.domain import CHANCE_STEPS
from reeltune.evaluation.metrics import measure
from reeltune.evidence.expectation import Expectation
from reeltune.evidence.film_view import training_ratings
from reeltune.evidence.outcome import outcome
from reeltune.evidence.source import EvidenceSource
from reeltune.evidence.weights import WEIGHTS, Weights

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


def learned_timelines(source: EvidenceSource, users: int, seed: int) -> list[Timeline]:
    """Return part, films and outcomes of what may be learned of some users, drawn at random."""
    known = source.known
    learned = np.zeros(len(known), dtype=np.bool_)
    learned[training_ratings(known, np.flatnonzero(known.split == TRAIN))] = True
    found = []
    for user in np.random.default_rng(seed).permutation(np.unique(known.user_id)):
        first, end = np.searchsorted(known.user_id, [user, user + 1])
        own = first + np.flatnonzero(learned[first:end])
        if 1 < len(own) <= MOST_EVENTS:
            outcomes = outcome(known.rating[own], known.liked[own])
            found.append((int(source.part[first]), known.item_idx[own].astype(np.int64), outcomes))
        if len(found) == users:
            break
    # Part after part: what is made for one serves all its users.
    return sorted(found, key=lambda one: one[0])


def surprise(expectation: Expectation, timelines: list[Timeline]) -> float:
    """Return the negative log-likelihood of an event, on average."""
    events = sum(len(items) for _, items, _ in timelines)
    return sum(expectation.given(*one).surprise() for one in timelines) / events


def fit(expectation: Expectation, timelines: list[Timeline], tries: int) -> Weights:
    """Return the weights that make timelines most likely.

    Args:
        expectation: Begins with its weights.
        timelines: From :func:`learned_timelines`.
        tries: How many weights are tried at most.
    """
    names = list(asdict(expectation.weights))

    def weights_of(logarithms: Floats) -> Weights:
        return Weights(**dict(zip(names, np.exp(logarithms).tolist(), strict=True)))

    found = minimize(
        lambda logarithms: surprise(expectation.reweighted(weights_of(logarithms)), timelines),
        np.log(list(asdict(expectation.weights).values())),
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
    source = EvidenceSource(
        known, folder.items, settings.threshold, settings.scale.step, ("expected",)
    )
    timelines = learned_timelines(source, options.users, options.seed)
    fitted = fit(source.expectation, timelines, options.tries)
    cases = []
    for name, weights in (("in use", WEIGHTS), ("fitted", fitted)):
        source.expectation = source.expectation.reweighted(weights)
        case: dict[str, Any] = {
            "case": name,
            "surprise_of_an_event": surprise(source.expectation, timelines),
            "auc, validation": _auc_of(source),
            **asdict(weights),
        }
        cases.append(case)
        print({key: round(value, 4) if key != "case" else value for key, value in case.items()})
    shown = ("prepared", "and_of", "users", "tries", "seed")
    command = command_line("fit_expectation", options, *shown)
    write_result(options.result, command, cases, note=options.note)


def _auc_of(source: EvidenceSource) -> float | None:
    """Return the AUC of what is expected of validation rows."""
    rows = np.flatnonzero(source.known.split == VALIDATION)
    known = source.known.take(rows)
    expected = source.of_events()[rows, 0] / (CHANCE_STEPS - 1)
    return measure(known.liked, expected, known.user_id).auc


if __name__ == "__main__":
    main()
