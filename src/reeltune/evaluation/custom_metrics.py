"""Metrics given by the caller, measured with the same bootstrap samples as the built-in ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from reeltune.errors import ConfigError
from reeltune.evaluation.metrics import METRICS
from reeltune.evaluation.predictions import Floats, Ints, Labels
from reeltune.ragged import places

CustomMetric = Callable[[Labels, Floats, Ints], float | np.floating[Any]]
"""``metric(labels, p_yes, users)``, each of shape ``(n,)``: a finite number, or NaN if undefined.

``users`` holds an index per user. In a bootstrap sample, a user that was sampled twice is two users
with the same rows, and the rows are sorted by user.
"""


def check_metric_names(metrics: Mapping[str, CustomMetric]) -> None:
    """Refuse names of built-in metrics, empty names and what cannot be called.

    Raises:
        ConfigError: The name or value is not valid.
    """
    for name, metric in metrics.items():
        if name in METRICS or not name.strip():
            raise ConfigError(
                f"{name!r} cannot be the name of a metric",
                code="invalid_metric_name",
                where="metrics",
                hint=f"Use another name than {', '.join(METRICS)}",
            )
        if not callable(metric):
            raise ConfigError(
                f"{metric!r} cannot be called",
                code="metric_not_callable",
                where=f"metric {name!r}",
                hint="Give a function of labels, P(Yes) and users that returns a number",
            )


class CustomSums:
    """The custom metrics of one scorer under any weights of users, see :class:`MetricSums`."""

    def __init__(
        self,
        scorer: str,
        labels: Labels,
        p_yes: Floats,
        user: Ints,
        metrics: Mapping[str, CustomMetric],
    ) -> None:
        self._scorer, self._metrics = scorer, metrics
        self._labels, self._p_yes, self._user = labels, p_yes, user
        self._order = np.argsort(user, kind="stable")
        self._sizes = np.bincount(user)
        self._first = np.cumsum(self._sizes) - self._sizes

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Return every metric for each set of weights, shape ``(samples,)``.

        Raises:
            ConfigError: A metric raises an exception or returns no number.
        """
        values = {name: np.full(len(weights), np.nan) for name in self._metrics}
        for sample, counts in enumerate(weights.astype(np.int64)):
            rows, user = self._rows(counts)
            for name in self._metrics:
                values[name][sample] = self._measure(name, rows, user)
        return values

    def _rows(self, counts: Ints) -> tuple[Ints, Ints]:
        """Return the rows of a sample, and the index of the copy of a user that each belongs to."""
        if (counts == 1).all():
            return np.arange(len(self._user)), self._user.copy()
        copies = np.repeat(np.arange(len(counts)), counts)
        rows = places(self._first[copies], self._sizes[copies])
        return self._order[rows], np.repeat(np.arange(len(copies)), self._sizes[copies])

    def _measure(self, name: str, rows: Ints, user: Ints) -> float:
        where = f"metric {name!r} of scorer {self._scorer!r}"
        try:
            value = self._metrics[name](self._labels[rows], self._p_yes[rows], user)
        except Exception as error:  # any, since the function is not ours
            raise ConfigError(
                f"{type(error).__name__} on {len(rows)} rows of {len(np.unique(user))} users: "
                f"{error}",
                code="metric_failed",
                where=where,
                hint="Return NaN where it is undefined, such as for rows with one label",
            ) from error
        if not isinstance(value, Real) or isinstance(value, bool) or np.isinf(float(value)):
            raise ConfigError(
                f"returned {value!r}, which is not a finite number or NaN",
                code="metric_returned_no_number",
                where=where,
                hint="Return one float",
            )
        return float(value)
