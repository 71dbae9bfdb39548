"""Comparing rows with what they should be, however often each occurs and in any order."""

from __future__ import annotations

import numpy as np

from reeltune.check.events import Ints


def surplus(found: Ints, expected: Ints) -> Ints:
    """Return the places in ``found`` of values that occur more often there than in ``expected``.

    Of equal values the last ones are surplus. Swap the arguments to find what is missing.

    Args:
        found: Shape ``(n,)``.
        expected: Shape ``(m,)``.

    Returns:
        Ascending places, shape ``(k,)``.
    """
    order = np.argsort(found, kind="stable")
    values, wanted = found[order], np.sort(expected)
    occurrence = np.arange(len(values)) - np.searchsorted(values, values)
    allowed = np.searchsorted(wanted, values, "right") - np.searchsorted(wanted, values)
    return np.sort(order[occurrence >= allowed]).astype(np.int64)
