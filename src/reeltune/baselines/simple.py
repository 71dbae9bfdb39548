"""Baselines that are means: overall, per item, per user, and the bias model of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from reeltune.baselines.platt import Rating, choose_rating
from reeltune.baselines.problem import BaselineScores, Floats, Ints, Problem
from reeltune.signals.running_statistics import RunningStatistics

DAMPING: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Values tried: ratings equal to the overall mean that are added to an item's or a user's own."""


def majority(problem: Problem) -> BaselineScores:
    """Predict the share of likes among the training rows."""
    share = float(problem.liked(problem.train).mean())
    validation, test = (np.full(len(event), share) for event in (problem.validation, problem.test))
    return BaselineScores(validation, test, len(problem.train))


def item_mean(problem: Problem) -> BaselineScores:
    """Expect the mean of the item's training ratings, shrunk to the overall mean."""

    def models() -> Iterator[tuple[dict[str, Any], Rating]]:
        for damping in DAMPING:
            expected = overall_mean(problem) + item_offsets(problem, damping)
            expected = expected[problem.timelines.item_idx]
            yield {"item_damping": damping}, expected.__getitem__

    return choose_rating(problem, models(), len(problem.ratings))


def user_running_mean(problem: Problem) -> BaselineScores:
    """Expect the mean of the user's own earlier ratings, shrunk to the overall mean."""
    running = RunningStatistics(problem.timelines.position)
    overall = overall_mean(problem)

    def models() -> Iterator[tuple[dict[str, Any], Rating]]:
        for damping in DAMPING:
            offset = running.earlier(problem.rating - overall) / (running.before + damping)
            yield {"user_damping": damping}, offset.__getitem__

    return choose_rating(problem, models(), len(problem.ratings))


def bias_model(problem: Problem) -> BaselineScores:
    """Expect overall mean + item offset + user offset (Koren, Bell and Volinsky 2009).

    Own code instead of LensKit's ``BiasScorer``, which gives the same, because that one takes one
    history at a time: 49 settings times all rows would be scored in a Python loop.
    """

    def models() -> Iterator[tuple[dict[str, Any], Rating]]:
        for item_damping in DAMPING:
            parts = bias_parts(problem, item_damping)
            for user_damping in DAMPING:
                settings = {"item_damping": item_damping, "user_damping": user_damping}
                yield settings, partial(parts.expected, user_damping)

    return choose_rating(problem, models(), len(problem.ratings))


@dataclass(frozen=True)
class BiasParts:
    """The summands of the bias model, one entry per event.

    Attributes:
        without_user: Overall mean plus item offset.
        above: Sum of the user's earlier ratings minus that.
        before: Number of the user's earlier events.
    """

    without_user: Floats
    above: Floats
    before: Floats

    def expected(self, user_damping: float, event: Ints) -> Floats:
        """Return the expected ratings of events."""
        user_offset = self.above[event] / (self.before[event] + user_damping)
        return self.without_user[event] + user_offset


def bias_parts(problem: Problem, item_damping: float) -> BiasParts:
    """Return the summands of the bias model for one damping of items."""
    offset = item_offsets(problem, item_damping)[problem.timelines.item_idx]
    without_user = overall_mean(problem) + offset
    running = RunningStatistics(problem.timelines.position)
    return BiasParts(without_user, running.earlier(problem.rating - without_user), running.before)


def overall_mean(problem: Problem) -> float:
    """Return the mean of all training ratings."""
    return float(problem.rating[problem.ratings].mean())


def item_offsets(problem: Problem, damping: float) -> Floats:
    """Return each item's damped mean of training ratings minus the overall mean; 0 without any."""
    item = problem.timelines.item_idx[problem.ratings]
    above = problem.rating[problem.ratings] - overall_mean(problem)
    count = np.bincount(item, minlength=len(problem.items))
    return np.bincount(item, above, minlength=len(problem.items)) / (count + damping)
