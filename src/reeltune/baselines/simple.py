"""Baselines that are means: of everything, of the film, of the user, and of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from reeltune.baselines.platt import Rating, choose_rating
from reeltune.baselines.problem import Answers, Floats, Ints, Problem
from reeltune.signals.running_statistics import RunningStatistics

DAMPING: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Ratings like the overall mean that are added to a film's or a user's own: what is tried."""


def majority(problem: Problem) -> Answers:
    """Always answer the share of likes among the training rows."""
    share = float(problem.liked(problem.train).mean())
    validation, test = (np.full(len(event), share) for event in (problem.validation, problem.test))
    return Answers(validation, test, len(problem.train))


def item_mean(problem: Problem) -> Answers:
    """Expect the mean stars of the film's training ratings, shrunk to the mean of all."""

    def models() -> Iterator[tuple[dict[str, Any], Rating]]:
        for damping in DAMPING:
            expected = overall_mean(problem) + item_offsets(problem, damping)
            expected = expected[problem.timelines.item_idx]
            yield {"item_damping": damping}, expected.__getitem__

    return choose_rating(problem, models(), len(problem.ratings))


def user_running_mean(problem: Problem) -> Answers:
    """Expect the mean stars of the user's own earlier events, shrunk to the mean of all."""
    running = RunningStatistics(problem.timelines.position)
    overall = overall_mean(problem)

    def models() -> Iterator[tuple[dict[str, Any], Rating]]:
        for damping in DAMPING:
            offset = running.earlier(problem.rating - overall) / (running.before + damping)
            yield {"user_damping": damping}, offset.__getitem__

    return choose_rating(problem, models(), len(problem.ratings))


def bias_model(problem: Problem) -> Answers:
    """Expect overall mean + film's offset + user's offset (Koren, Bell and Volinsky 2009).

    The film's offset is learned from training ratings; the user's is the mean of what all earlier
    events of the user lie above overall mean and film's offset.
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
    """What the bias model adds up; all arrays have one entry per event.

    Attributes:
        without_user: Overall mean and film's offset.
        above: Sum of what the user's earlier events lie above that.
        before: How many they are.
    """

    without_user: Floats
    above: Floats
    before: Floats

    def expected(self, user_damping: float, event: Ints) -> Floats:
        """Return the stars the bias model expects of events."""
        user_offset = self.above[event] / (self.before[event] + user_damping)
        return self.without_user[event] + user_offset


def bias_parts(problem: Problem, item_damping: float) -> BiasParts:
    """Return the parts of the bias model for one damping of films."""
    offset = item_offsets(problem, item_damping)[problem.timelines.item_idx]
    without_user = overall_mean(problem) + offset
    running = RunningStatistics(problem.timelines.position)
    return BiasParts(without_user, running.earlier(problem.rating - without_user), running.before)


def overall_mean(problem: Problem) -> float:
    """Return the mean stars of all training ratings."""
    return float(problem.rating[problem.ratings].mean())


def item_offsets(problem: Problem, damping: float) -> Floats:
    """Return what each film's training ratings lie above the overall mean, shrunk to 0.

    Returns:
        Shape ``(films,)``; 0 for a film without training ratings.
    """
    row = problem.timelines.item_idx[problem.ratings]
    above = problem.rating[problem.ratings] - overall_mean(problem)
    count = np.bincount(row, minlength=len(problem.items))
    return np.bincount(row, above, minlength=len(problem.items)) / (count + damping)
