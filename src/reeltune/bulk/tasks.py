"""Bulk tasks: P(Yes) of given pairs, and the top items of many users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reeltune.bulk.input_table import InputRows, InputTable, split_rows
from reeltune.bulk.lookup import UNKNOWN, Lookup
from reeltune.data.columns import Columns
from reeltune.errors import RequestError
from reeltune.ragged import Ints
from reeltune.recommend.candidates import ALL, Filters, ItemPool, most_rated
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.pipeline import Ranking
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Predictor, Query

P_YES: Final = "p_yes"
RANK: Final = "rank"

Advance = Callable[[int], None]
"""Called with the number of further rows that are done."""

_BATCH_PREDICTIONS: Final = 1 << 14
"""Fewest predictions in a batch of queries: enough to fill the forward passes of a large GPU."""

_INVALID: Final = Ranking(np.array([UNKNOWN]), np.zeros(1))
"""Stands for an invalid user; its values become nulls."""


@dataclass(frozen=True)
class Task(ABC):
    """Something to score for many input rows, shard by shard."""

    table: InputTable | None
    """The input; None for every user of the prepared data."""
    lookup: Lookup
    rows_per_shard: int

    @property
    def rows(self) -> int:
        """Number of input rows."""
        return len(self.lookup.user_ids) if self.table is None else self.table.rows

    @property
    def shards(self) -> list[range]:
        """The input rows of each shard; without input rows there is one empty shard."""
        return split_rows(self.rows, self.rows_per_shard) or [range(0)]

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The settings that determine the predictions."""

    def slices(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield slices of the input rows."""
        if self.table is not None:
            yield from self.table.with_ids_of(self.lookup).slices(wanted)
            return
        for span in wanted:
            yield pa.table({Columns.USER: self.lookup.user_ids.slice(span.start, len(span))})

    @abstractmethod
    def score(self, table: pa.Table, predictor: Predictor, advance: Advance) -> pa.Table:
        """Return the output rows of a slice of input rows."""


class Pairs(Task):
    """Scores each row of a table of users and items."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the predictions."""
        return {"task": "pairs", "rows_per_shard": self.rows_per_shard}

    def score(self, table: pa.Table, predictor: Predictor, advance: Advance) -> pa.Table:
        """Return the rows in their order with P(Yes); invalid rows have a null."""
        rows = InputRows.resolve(table, self.lookup)
        p_yes = predict_pairs(rows, self.lookup, predictor, advance)
        return table.append_column(P_YES, pa.array(p_yes, mask=rows.fault >= 0))


@dataclass(frozen=True)
class Top(Task):
    """Finds the top items of each user.

    Raises:
        RequestError: No item matches the filters, or no item has one of the genres.
    """

    catalogue: Catalogue
    filters: Filters
    top_k: int
    candidates: int | None
    """Number of candidates per user, most rated first; None for all."""

    def __post_init__(self) -> None:
        if not len(self._pool.items):
            message = f"no {self.catalogue.words.domain.item} matches the filters"
            raise RequestError(message, code="no_matching_items", hint="Loosen the filters")

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
        item_ids = self.lookup.item_ids
        kinds = [users[Columns.USER].type, pa.int32(), item_ids.type, pa.float64()]
        names = (Columns.USER, RANK, Columns.ITEM, P_YES)
        schema = pa.schema(list(zip(names, kinds, strict=True)))
        if not rankings:
            return schema.empty_table()
        item = np.concatenate([ranking.items for ranking in rankings])
        p_yes = np.concatenate([ranking.p_like for ranking in rankings])
        counts = [len(ranking.items) for ranking in rankings]
        rank = np.concatenate([np.arange(1, count + 1) for count in counts])
        invalid = item == UNKNOWN
        return pa.table(
            [
                users[Columns.USER].take(np.repeat(np.arange(len(rankings)), counts)),
                pa.array(rank, pa.int32(), mask=invalid),
                item_ids.take(pa.array(item, mask=invalid)),
                pa.array(p_yes, mask=invalid),
            ],
            schema=schema,
        )


def predict_pairs(
    rows: InputRows, lookup: Lookup, predictor: Predictor, advance: Advance
) -> npt.NDArray[np.float64]:
    """Return P(Yes) of each row, 0 for invalid ones.

    Rows with the same user and history share one query.
    """
    p_yes = np.zeros(len(rows.user))
    advance(len(p_yes) - len(rows.valid))
    groups, queries = shared_queries(rows, lookup, predictor.max_history)
    results = predict_in_batches(predictor, queries, lambda query: len(query.candidates), advance)
    for group, (_, predictions) in zip(groups, results, strict=True):
        p_yes[group] = predictions.p_yes
    return p_yes


def shared_queries(
    rows: InputRows, lookup: Lookup, length: int
) -> tuple[list[Ints], Iterator[Query]]:
    """Return the row numbers of each shared history, and the query about it."""
    valid = rows.valid
    if not len(valid):
        return [], iter(())
    user, item = rows.user[valid], rows.item[valid]
    before = None if rows.before is None else rows.before[valid]
    end = lookup.history_ends(user, item, before)
    moment = lookup.moments(user, end, before)
    # The end of one user's timeline is the start of the next: both must be equal.
    order = np.lexsort((end, user))
    new = (np.diff(user[order]) != 0) | (np.diff(end[order]) != 0)
    groups = np.split(order, np.flatnonzero(new) + 1)

    def query(group: Ints) -> Query:
        first = group[0]
        history = lookup.history(int(user[first]), int(end[first]), length)
        return Query(history, item[group], asked_at=moment[group])

    return [valid[group] for group in groups], map(query, groups)


def predict_in_batches(
    predictor: Predictor,
    queries: Iterable[Query],
    rows: Callable[[Query], int],
    advance: Advance,
    batch_predictions: int = _BATCH_PREDICTIONS,
) -> Iterator[tuple[Query, Predictions]]:
    """Yield each query with its predictions, consuming queries batch by batch.

    ``rows`` returns the number of input rows that a query stands for.
    """
    for batch in query_batches(queries, batch_predictions):
        batch_rows, advanced = sum(map(rows, batch)), 0

        def progress(done: int, total: int, batch_rows: int = batch_rows) -> None:
            nonlocal advanced
            now = batch_rows * done // total
            advance(now - advanced)
            advanced = now

        predictions = predictor.predict(batch, progress=progress)
        progress(1, 1)
        yield from zip(batch, predictions, strict=True)


def query_batches(queries: Iterable[Query], batch_predictions: int) -> Iterator[list[Query]]:
    """Yield queries in batches that end once they have so many candidates."""
    batch: list[Query] = []
    candidates = 0
    for query in queries:
        batch.append(query)
        candidates += len(query.candidates)
        if candidates >= batch_predictions:
            yield batch
            batch, candidates = [], 0
    if batch:
        yield batch
