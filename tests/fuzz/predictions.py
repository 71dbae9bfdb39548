"""P(Yes) of single queries, by a model that is loaded once; services are compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from reeltune.data.history import History
from reeltune.models.loaded_model import load_model
from reeltune.scoring.predictor import Predictor, Query
from tests.fuzz.workplace import Workplace
from tests.runs import tiny_config

ROUNDING = 1e-5
"""Largest difference of float32 predictions that were batched in another way."""

Rated = tuple[tuple[int, float], ...]
"""Item ids and ratings, oldest first."""


class Oracle:
    """The base model of a workplace, and its predictions one query at a time."""

    def __init__(self, workplace: Workplace) -> None:
        self.config = tiny_config(workplace.model, workplace.prepared, workplace.path)
        self.loaded = load_model(self.config, None)
        self.predictor = Predictor(self.loaded)
        self._known: dict[Rated, dict[int, float]] = {}

    @cached_property
    def item_idx(self) -> dict[int, int]:
        """The index of each item id."""
        return {item.item_id: index for index, item in enumerate(self.loaded.folder.items)}

    @cached_property
    def timelines(self) -> dict[int, list[tuple[int, int, float]]]:
        """Time, item id and rating of each user's events, oldest first."""
        ratings, items = self.loaded.folder.ratings, self.loaded.folder.items
        found: dict[int, list[tuple[int, int, float]]] = {}
        for user, index, rating, time in zip(
            ratings.user_id.tolist(),
            ratings.item_idx.tolist(),
            ratings.rating.tolist(),
            ratings.timestamp.tolist(),
            strict=True,
        ):
            found.setdefault(user, []).append((time, items[index].item_id, rating))
        return found

    def p_yes(self, rated: Sequence[tuple[int, float]], item_id: int) -> float:
        """Return P(Yes) of an item after some ratings."""
        shown = tuple(rated)[-self.loaded.folder.history_len :]
        if shown not in self._known:
            history = History.of([self.item_idx[item] for item, _ in shown], [r for _, r in shown])
            query = Query(history, np.arange(len(self.item_idx)))
            p_yes = self.predictor.predict([query])[0].p_yes.tolist()
            self._known[shown] = dict(zip(self.item_idx, p_yes, strict=True))
        return self._known[shown][item_id]

    def p_yes_of_user(self, user: int, item_id: int, before: int | None) -> float:
        """Return P(Yes) as bulk scoring does: before the user's own rating, and before a time."""
        rated = []
        for time, item, rating in self.timelines[user]:
            if item == item_id or (before is not None and time >= before):
                break
            rated.append((item, rating))
        return self.p_yes(rated, item_id)

    def load(self, *_: Any, folder: Any, **__: Any) -> Any:
        """Stand in for loading the model again."""
        return replace(self.loaded, folder=folder)
