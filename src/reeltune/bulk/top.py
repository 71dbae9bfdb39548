"""For every user, or for those listed, the films they are likeliest to like."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reeltune.asking.judge import Judge
from reeltune.bulk.lookup import UNKNOWN, Lookup
from reeltune.bulk.rows import Rows
from reeltune.bulk.table import Table
from reeltune.bulk.task import P_YES
from reeltune.bulk.turns import Advance, answers
from reeltune.data.columns import Columns
from reeltune.errors import RequestError
from reeltune.recommend.candidates import ALL
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.filters import Filters
from reeltune.recommend.recommender import Ranking, RecommendationRequest, Recommender
from reeltune.scoring.ranking import Question

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RANK: Final = "rank"

_SCHEMA: Final = pa.schema(
    [
        (Columns.USER, pa.int64()),
        (RANK, pa.int32()),
        (Columns.ITEM, pa.int64()),
        (P_YES, pa.float64()),
    ]
)

_NOBODY: Final = (np.array([UNKNOWN]), np.zeros(1))
"""What a user who cannot be judged is given."""


@dataclass(frozen=True)
class Top:
    """Users, each to be given the films they are likeliest to like.

    Attributes:
        table: The users listed; None for all of the prepared data.
        lookup: Knows users and films.
        catalogue: Knows genres, years and how often films were rated.
        filters: What a film must be.
        count: How many films each user is given.
        candidates: How many films are judged for each user, the most often rated of those that fit
            and that the user has not rated; None for all.
        rows_per_shard: How many users a shard covers.
    """

    table: Table | None
    lookup: Lookup
    catalogue: Catalogue
    filters: Filters
    count: int
    candidates: int | None
    rows_per_shard: int

    def __post_init__(self) -> None:
        """Fail early if no item matches."""
        self.most_candidates()

    @property
    def rows(self) -> int:
        """How many users are given."""
        return len(self.lookup.user_ids) if self.table is None else self.table.rows

    @property
    def settings(self) -> dict[str, Any]:
        """What is asked, as far as it decides the answers."""
        return {
            "task": "top",
            "top": self.count,
            "candidates": self.candidates,
            "rows_per_shard": self.rows_per_shard,
            **asdict(self.filters),
        }

    def most_candidates(self) -> int:
        """Return how many candidates a user can have at most.

        Raises:
            RequestError: No item matches the filters, or no item has one of the genres.
        """
        matching = len(self.filters.matching(self.catalogue))
        if not matching:
            raise RequestError(
                "no film matches the filters", code="no_matching_items", hint="Loosen the filters"
            )
        return min(matching, self.candidates or matching)

    def stretches(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield the users of each stretch."""
        if self.table is not None:
            yield from self.table.stretches(wanted)
            return
        for span in wanted:
            yield pa.table({Columns.USER: self.lookup.user_ids[span.start : span.stop]})

    def scored(self, table: pa.Table, judge: Judge, advance: Advance) -> pa.Table:
        """Return the films of each user, users in their order, the likeliest film first.

        A user who cannot be judged has one row of nulls; one who has rated all that fits has none.
        """
        rows = Rows.of(table, self.lookup)
        advance(table.num_rows - len(rows.good))
        recommender = Recommender.of(judge, self.catalogue)
        questions = (self._query(recommender, user) for user in rows.user[rows.good])
        best = [_NOBODY] * table.num_rows
        answered = answers(judge, questions, lambda _: 1, advance)
        for row, (question, verdicts) in zip(rows.good, answered, strict=True):
            ranking = Ranking.top(question.candidates, verdicts, self.count)
            best[row] = (ranking.items, ranking.p_like)
        return self._listed(table, best)

    def _query(self, recommender: Recommender, user: int) -> Question:
        history = self.lookup.history(user, self.lookup.end(user), sys.maxsize)
        candidates = self.candidates or ALL
        request = RecommendationRequest(history, self.filters, candidates=candidates)
        return recommender.select(request).query

    def _listed(self, users: pa.Table, best: list[tuple[Ints, Floats]]) -> pa.Table:
        """Return one row for each film of each user."""
        if not best:
            return _SCHEMA.empty_table()
        item, p_yes = (np.concatenate(values) for values in zip(*best, strict=True))
        counts = [len(items) for items, _ in best]
        rank = np.concatenate([np.arange(1, count + 1) for count in counts])
        nobody = item == UNKNOWN
        return pa.table(
            [
                users[Columns.USER].take(np.repeat(np.arange(len(best)), counts)),
                pa.array(rank, pa.int32(), mask=nobody),
                pa.array(self.lookup.item_ids[item], mask=nobody),
                pa.array(p_yes, mask=nobody),
            ],
            schema=_SCHEMA,
        )
