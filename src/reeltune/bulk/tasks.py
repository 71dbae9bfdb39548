"""Bulk tasks: input rows in, output rows out, shard by shard, with queries sent in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from reeltune.bulk.input_rows import InputRows, InvalidRows
from reeltune.bulk.input_table import InputTable
from reeltune.bulk.lookup import Lookup
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Predictor, Query
from reeltune.scoring.scorer import Progress

P_YES: Final = "p_yes"

Advance = Callable[[int], None]
"""Called with the number of further rows that are done."""

_BATCH_PREDICTIONS: Final = 1 << 14
"""Fewest predictions in a batch of queries: enough to fill the forward passes of a large GPU."""

_CHECKED_ROWS: Final = 1 << 16
"""Rows that are checked at once."""


class Task(Protocol):
    """Something to score for many input rows."""

    @property
    def table(self) -> InputTable | None:
        """The input table; None if the input is every user of the prepared data."""
        ...

    @property
    def rows(self) -> int:
        """Number of input rows."""
        ...

    @property
    def rows_per_shard(self) -> int:
        """Number of input rows of a shard."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the predictions."""
        ...

    def slices(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield slices of the input rows."""
        ...

    def score(self, table: pa.Table, predictor: Predictor, advance: Advance) -> pa.Table:
        """Return the output rows of a slice of input rows."""
        ...


def shard_rows(task: Task) -> list[range]:
    """Return the input rows of each shard; without input rows there is one empty shard."""
    starts = range(0, max(1, task.rows), task.rows_per_shard)
    return [range(start, min(start + task.rows_per_shard, task.rows)) for start in starts]


def invalid_rows(table: InputTable, lookup: Lookup) -> InvalidRows:
    """Return the invalid rows of a whole table."""
    invalid = InvalidRows()
    starts = range(0, table.rows, _CHECKED_ROWS)
    spans = [range(start, min(start + _CHECKED_ROWS, table.rows)) for start in starts]
    for rows in table.slices(spans):
        invalid.add(rows, InputRows.resolve(rows, lookup))
    return invalid


def predict_in_batches(
    predictor: Predictor,
    queries: Iterable[Query],
    rows: Callable[[Query], int],
    advance: Advance,
    batch_predictions: int = _BATCH_PREDICTIONS,
) -> Iterator[tuple[Query, Predictions]]:
    """Yield each query with its predictions.

    Args:
        predictor: Runs the model.
        queries: Consumed batch by batch.
        rows: Number of input rows that a query stands for.
        advance: Called while a batch is under way.
        batch_predictions: Fewest predictions of a batch.
    """
    for batch in query_batches(queries, batch_predictions):
        progress = _as_rows(advance, sum(map(rows, batch)))
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


def _as_rows(advance: Advance, rows: int) -> Progress:
    """Convert the progress of a batch of predictions into input rows."""
    before = 0

    def progress(done: int, total: int) -> None:
        nonlocal before
        now = rows * done // total
        advance(now - before)
        before = now

    return progress
