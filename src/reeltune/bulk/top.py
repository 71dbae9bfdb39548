"""The recommendations of many users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa

from reeltune.bulk.input_table import InputRows, InputTable
from reeltune.bulk.lookup import UNKNOWN, Lookup
from reeltune.bulk.tasks import P_YES, Advance, predict_in_batches
from reeltune.data.columns import Columns
from reeltune.errors import RequestError
from reeltune.recommend.candidates import ALL, Filters, ItemPool, most_rated
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.pipeline import Ranking
from reeltune.scoring.predictor import Predictor, Query

RANK: Final = "rank"

_SCHEMA: Final = pa.schema(
    [
        (Columns.USER, pa.int64()),
        (RANK, pa.int32()),
        (Columns.ITEM, pa.int64()),
        (P_YES, pa.float64()),
    ]
)

_INVALID: Final = Ranking(np.array([UNKNOWN]), np.zeros(1))
"""Stands for an invalid user; its values become nulls."""


@dataclass(frozen=True)
class Top:
    """A :class:`~reeltune.bulk.tasks.Task`: the top items of each user.

    Args:
        table: The users; None for all of the prepared data.
        lookup: Resolves users.
        catalogue: The items.
        filters: Conditions on the items.
        top_k: Number of items per user.
        candidates: Number of candidates per user, most rated first; None for all.
        rows_per_shard: Number of users of a shard.

    Raises:
        RequestError: No item matches the filters, or no item has one of the genres.
    """

    table: InputTable | None
    lookup: Lookup
    catalogue: Catalogue
    filters: Filters
    top_k: int
    candidates: int | None
    rows_per_shard: int

    def __post_init__(self) -> None:
        """Fail early if no item matches."""
        if not len(self._pool.items):
            raise RequestError(
                "no film matches the filters", code="no_matching_items", hint="Loosen the filters"
            )

    @property
    def rows(self) -> int:
        """Number of users."""
        return len(self.lookup.user_ids) if self.table is None else self.table.rows

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the predictions."""
        return {
            "task": "top",
            "top": self.top_k,
            "candidates": self.candidates,
            "rows_per_shard": self.rows_per_shard,
            **asdict(self.filters),
        }

    @property
    def max_candidates(self) -> int:
        """Number of candidates of a user without ratings."""
        matching = len(self._pool.items)
        return min(matching, self.candidates or matching)

    def slices(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield slices of the users."""
        if self.table is not None:
            yield from self.table.slices(wanted)
            return
        for span in wanted:
            yield pa.table({Columns.USER: self.lookup.user_ids[span.start : span.stop]})

    def score(self, table: pa.Table, predictor: Predictor, advance: Advance) -> pa.Table:
        """Return each user's top items, users in their order, highest P(Yes) first.

        An invalid user has one row of nulls; a user who has rated every matching item has none.
        """
        rows = InputRows.resolve(table, self.lookup)
        advance(table.num_rows - len(rows.valid))
        queries = (self._query(user, predictor.max_history) for user in rows.user[rows.valid])
        results = predict_in_batches(predictor, queries, lambda _: 1, advance)
        rankings = [_INVALID] * table.num_rows
        for row, (query, predictions) in zip(rows.valid, results, strict=True):
            rankings[row] = Ranking.top(query.candidates, predictions, self.top_k)
        return self._output(table, rankings)

    @cached_property
    def _pool(self) -> ItemPool:
        return ItemPool.most_rated_first(self.catalogue, self.filters.matching(self.catalogue))

    def _query(self, user: int, length: int) -> Query:
        history = self.lookup.history(user, self.lookup.end(user), length)
        eligible = self._pool.without(self.lookup.rated(user).astype(np.int64))
        return Query(history, most_rated(eligible, self.candidates or ALL))

    def _output(self, users: pa.Table, rankings: list[Ranking]) -> pa.Table:
        """Return a row per user and item."""
        if not rankings:
            return _SCHEMA.empty_table()
        item = np.concatenate([ranking.items for ranking in rankings])
        p_yes = np.concatenate([ranking.p_like for ranking in rankings])
        counts = [len(ranking.items) for ranking in rankings]
        rank = np.concatenate([np.arange(1, count + 1) for count in counts])
        invalid = item == UNKNOWN
        return pa.table(
            [
                users[Columns.USER].take(np.repeat(np.arange(len(rankings)), counts)),
                pa.array(rank, pa.int32(), mask=invalid),
                pa.array(self.lookup.item_ids[item], mask=invalid),
                pa.array(p_yes, mask=invalid),
            ],
            schema=_SCHEMA,
        )
