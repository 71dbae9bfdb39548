"""Bulk tasks: input rows in, output rows out, with queries predicted in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from reeltune.bulk.input_table import InputTable, split_rows
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Predictor, Query

P_YES: Final = "p_yes"

Advance = Callable[[int], None]
"""Called with the number of further rows that are done."""

_BATCH_PREDICTIONS: Final = 1 << 14
"""Fewest predictions in a batch of queries: enough to fill the forward passes of a large GPU."""


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
    return split_rows(task.rows, task.rows_per_shard) or [range(0)]


def predict_in_batches(
    predictor: Predictor,
    queries: Iterable[Query],
    rows: Callable[[Query], int],
    advance: Advance,
    batch_predictions: int = _BATCH_PREDICTIONS,
) -> Iterator[tuple[Query, Predictions]]:
    """Yield each query with its predictions, consuming queries batch by batch.

    Args:
        predictor: Runs the model.
        queries: The queries.
        rows: Returns the number of input rows that a query stands for.
        advance: Called while a batch is computed.
        batch_predictions: Fewest predictions of a batch.
    """
    for batch in query_batches(queries, batch_predictions):
        total_rows, advanced = sum(map(rows, batch)), 0

        def progress(done: int, total: int, rows: int = total_rows) -> None:
            nonlocal advanced
            now = rows * done // total
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
