"""Catalogues of invented items, and a predictor with fixed predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from reeltune.domain import Item
from reeltune.models.calibration import Calibrate
from reeltune.recommend.catalogue import Catalogue
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Query

GENRES = ("Action", "Comedy", "Film-Noir")

_WORDS = ("The", "Star", "Éloge", "Night", "Other", "(again)", "a", "2nd", "Le", "+")
_titles = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=3).map(" ".join)


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    """Draw a few items, many with equal titles; ids ascend with gaps."""
    count = draw(st.integers(1, 12))
    ids = sorted(draw(st.sets(st.integers(1, 99), min_size=count, max_size=count)))
    items = [
        Item(
            item_id,
            draw(_titles),
            draw(st.none() | st.integers(1990, 1993)),
            tuple(sorted(draw(st.sets(st.sampled_from(GENRES), max_size=2)))),
        )
        for item_id in ids
    ]
    ratings = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    return Catalogue(items, np.array(ratings, dtype=np.int64))


def catalogue_of(*titles: str, ratings: Sequence[int] | None = None) -> Catalogue:
    """Return a catalogue of items written as ``Title (1999)``, with the ids 10, 20, 30 ..."""
    items = []
    for row, text in enumerate(titles):
        title, _, year = text.rstrip(")").rpartition(" (")
        items.append(Item(10 * (row + 1), title, int(year), ()))
    counts = np.array(ratings if ratings is not None else [1] * len(items), dtype=np.int64)
    return Catalogue(items, counts)


@dataclass
class FakePredictor:
    """A predictor whose predictions depend on the item alone.

    Attributes:
        log_odds: Of each item.
        history_len: Number of events shown.
        calibrate: Calibration of P(Yes).
        calls: The queries of every call.
    """

    log_odds: Mapping[int, float]
    history_len: int = 3
    calibrate: Calibrate | None = None
    calls: list[list[Query]] = field(default_factory=list)

    def predict(self, queries: Sequence[Query], **_: object) -> list[Predictions]:
        self.calls.append(list(queries))
        return [
            Predictions(
                np.array([self.log_odds[item] for item in one.candidates], dtype=np.float32),
                np.zeros(len(one.candidates), dtype=np.float32),
                self.calibrate,
            )
            for one in queries
        ]
