"""Confidence intervals by resampling users (the cluster bootstrap).

Rows of one user are alike, so whole users are resampled, not rows (Field and Welsh 2007,
https://doi.org/10.1111/j.1467-9868.2007.00593.x). All scorers are measured on the same samples of
users, so a difference is taken within each sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from reeltune.evaluation.custom_metrics import CustomMetric, CustomSums, check_metric_names
from reeltune.evaluation.metrics import (
    PER_USER_METRICS,
    MetricSums,
    WeightedAuc,
    WeightedLogLoss,
    user_indices,
)
from reeltune.evaluation.predictions import Floats, Ints, Labels, Probabilities
from reeltune.progress import periodic
from reeltune.runs.log import LOGGER
from reeltune.seeds import stream

BOOTSTRAP_SAMPLES: Final = 1000

MIN_USERS: Final = 10
"""With fewer users no interval is reported, and no scorer is called better."""

_CHUNK: Final = 1 << 19
"""Samples times rows computed at once: bounds the arrays to 4 MiB."""


@dataclass(frozen=True)
class Interval:
    """A value and its 2.5th and 97.5th percentiles over the samples in which it is defined."""

    value: float
    low: float
    high: float
    bootstrap_samples: int
    users: int

    @property
    def enough_users(self) -> bool:
        """Whether the interval may be reported: it comes from enough users."""
        return self.users >= MIN_USERS


def interval_of(value: float, samples: Floats, users: int) -> Interval | None:
    """Return a value with its interval; None if it is NaN on the rows or in every sample."""
    defined = samples[~np.isnan(samples)]
    if np.isnan(value) or not len(defined):
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return Interval(float(value), float(low), float(high), len(defined), users)


@dataclass(frozen=True)
class Bootstrap:
    """Metrics of scorers on the same rows and in the same bootstrap samples of their users.

    Attributes:
        values: By scorer and metric, on the rows themselves; NaN where undefined.
        samples: Likewise, in each sample, shape ``(samples,)``.
        users_scored: Users whose rows have both labels.
    """

    values: dict[str, dict[str, float]]
    samples: dict[str, dict[str, Floats]]
    users: int
    users_scored: int

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that were computed."""
        return list(next(iter(self.values.values()), ()))

    def interval(self, scorer: str, metric: str) -> Interval | None:
        """Return a scorer's metric; None if it is undefined."""
        value, samples = self.values[scorer][metric], self.samples[scorer][metric]
        return interval_of(value, samples, self._users_of(metric))

    def difference(self, scorer: str, other: str, metric: str) -> Interval | None:
        """Return a scorer's metric minus another's; None if either is undefined."""
        return interval_of(
            self.values[scorer][metric] - self.values[other][metric],
            self.samples[scorer][metric] - self.samples[other][metric],
            self._users_of(metric),
        )

    def _users_of(self, metric: str) -> int:
        return self.users_scored if metric in PER_USER_METRICS else self.users


def bootstrap(
    labels: Labels,
    user_id: Ints,
    p_yes: Mapping[str, Probabilities],
    thresholds: Mapping[str, float],
    seed: int,
    samples: int = BOOTSTRAP_SAMPLES,
    custom: Mapping[str, CustomMetric] | None = None,
) -> Bootstrap:
    """Compute all metrics on the rows and on bootstrap samples of their users.

    A user sampled ``k`` times contributes every row ``k`` times, and counts as ``k`` users in means
    over users. Every array has shape ``(n,)``.

    Args:
        thresholds: By scorer, chosen on other rows; without one, no ``_chosen`` metrics.
        seed: Determines the samples.
        custom: Further metrics by name.

    Raises:
        DataError: The shapes differ, or a value is not a probability.
        ConfigError: A custom metric has an invalid name, raises or returns no number.
    """
    custom = custom or {}
    check_metric_names(custom)
    user = user_indices(user_id)
    sums = {
        name: MetricSums(labels, values, user, thresholds.get(name))
        for name, values in p_yes.items()
    }
    scored = max((each.users_scored for each in sums.values()), default=0)
    scorers = {}
    for name, values in p_yes.items():
        more = CustomSums(name, labels, np.asarray(values, np.float64), user, custom)
        scorers[name] = [sums[name].metrics, more.metrics]
    return resample(scorers, user, seed, samples, scored)


def bootstrap_auc(
    labels: Labels,
    user_id: Ints,
    scores: Mapping[str, Floats],
    seed: int,
    samples: int = BOOTSTRAP_SAMPLES,
    *,
    log_loss: bool = False,
) -> Bootstrap:
    """Compute the AUC alone, of scores that need not be probabilities; see :func:`bootstrap`.

    With ``log_loss`` that of the scores, which then are probabilities, is computed too.
    """
    user = user_indices(user_id)
    kinds = (WeightedAuc, WeightedLogLoss) if log_loss else (WeightedAuc,)
    scorers = {n: [kind(labels, p, user).metrics for kind in kinds] for n, p in scores.items()}
    return resample(scorers, user, seed, samples)


Measure = Callable[[Floats], Mapping[str, Floats]]
"""Maps how often each user counts, shape ``(samples, users)``, to metrics, shape ``(samples,)``."""


def resample(
    scorers: Mapping[str, Sequence[Measure]],
    user: Ints,
    seed: int,
    samples: int,
    users_scored: int = 0,
) -> Bootstrap:
    """Compute metrics on the rows and on bootstrap samples of their users, given as indices."""
    users = int(user.max(initial=-1)) + 1
    once = np.ones((1, users))
    values = {
        name: {metric: float(value[0]) for metric, value in _metrics(measured, once)}
        for name, measured in scorers.items()
    }
    resampled = {
        name: {metric: np.full(samples, np.nan) for metric in values[name]} for name in scorers
    }
    progress = periodic("bootstrap", "samples", LOGGER.info)
    for chunk, weights in user_weights(users, len(user), seed, samples):
        for name, measured in scorers.items():
            for metric, value in _metrics(measured, weights):
                resampled[name][metric][chunk] = value
        progress(chunk.stop, samples)
    return Bootstrap(values, resampled, users, users_scored)


def _metrics(measured: Sequence[Measure], weights: Floats) -> Iterator[tuple[str, Floats]]:
    for measure in measured:
        yield from measure(weights).items()


def user_weights(
    users: int, rows: int, seed: int, samples: int = BOOTSTRAP_SAMPLES
) -> Iterator[tuple[slice, Floats]]:
    """Sample users with replacement, as many as there are, in chunks of samples.

    Equal seeds and numbers of users give equal samples; ``rows`` only decides the chunk size.

    Yields:
        The samples of the chunk, and how often each user counts in each of them, shape
        ``(samples of the chunk, users)``.
    """
    if not users:
        return
    random = stream(seed, "bootstrap")
    even = np.full(users, 1 / users)
    at_once = max(1, _CHUNK // max(rows, users))
    for first in range(0, samples, at_once):
        counts = random.multinomial(users, even, size=min(at_once, samples - first))
        yield slice(first, first + len(counts)), counts.astype(np.float64)
