"""Random films, histories and token sequences."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np
from hypothesis import strategies as st

from reeltune.data.timelines import Examples, Timelines
from reeltune.domain import HALF_STARS, Item
from reeltune.prompts.sequences import NO_BRANCH, Sequences
from reeltune.ragged import Ragged
from tests.helpers import CONTROL_TOKENS, THINK_TOKENS
from tests.timelines import timelines_of

_marks = st.sampled_from([*CONTROL_TOKENS, *THINK_TOKENS, "<s>", "\n", "\r\n", " ", "?", "🤖", "é"])
titles = st.lists(_marks | st.text(max_size=8), max_size=5).map("".join) | st.text(max_size=30)
item_lists = st.lists(
    st.builds(
        Item,
        item_id=st.integers(1, 10**6),
        title=titles,
        year=st.none() | st.integers(1880, 2030),
        genres=st.lists(titles, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=6,
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Item], Timelines, Examples]:
    """Films, a timeline over them, and examples that show any part of it, also none."""
    items = draw(item_lists)
    size = draw(st.integers(1, 8))
    rows = draw(st.lists(st.integers(0, len(items) - 1), min_size=size, max_size=size))
    rating = draw(st.lists(st.sampled_from(HALF_STARS.ratings()), min_size=size, max_size=size))
    target = draw(st.lists(st.integers(0, size - 1), max_size=4))
    start = [draw(st.integers(0, t)) for t in target]
    examples = Examples(np.array(start, dtype=np.int64), np.array(target, dtype=np.int64))
    return items, timelines_of(rows, rating), examples


@dataclass(frozen=True)
class Drawn:
    """Sequences and their expected predictions, built token by token.

    Attributes:
        sequences: The sequences, in which no token occurs twice.
        alone: The single prompt of each prediction.
        after: The token after each answer position, if the sequences are answered.
        row: The sequence of each prediction.
    """

    sequences: Sequences
    alone: list[list[int]]
    after: list[int]
    row: list[int]


@st.composite
def token_sequences(draw: st.DrawFn, answered: bool | None = None) -> Drawn:
    """Sequences with answer positions in the trunk, in branches, or in both."""
    answered = draw(st.booleans()) if answered is None else answered
    behind = 2 if answered else 1  # from the answer position to the end of the branch
    token = count()
    ids: list[list[int]] = []
    trunks: list[int] = []
    predictions: list[tuple[int, int, int, int]] = []
    alone: list[list[int]] = []
    for row in range(draw(st.integers(1, 4))):
        row_ids = [next(token) for _ in range(draw(st.integers(behind, 8)))]
        trunk = row_ids.copy()
        places = st.integers(0, len(trunk) - behind)
        positions = sorted(draw(st.sets(places, max_size=3)))
        for place in positions:
            predictions.append((row, place, NO_BRANCH, place + 1))
            alone.append(trunk[: place + 1])
        branch = st.tuples(st.integers(1, len(trunk)), st.integers(behind, 5))
        for leave, size in draw(st.lists(branch, min_size=0 if positions else 1, max_size=4)):
            begin = len(row_ids)
            row_ids += [next(token) for _ in range(size)]
            predictions.append((row, len(row_ids) - behind, begin, leave))
            alone.append(trunk[:leave] + row_ids[begin : len(row_ids) - behind + 1])
        ids.append(row_ids)
        trunks.append(len(trunk))
    rows, answer_position, branches, leaves = np.array(predictions, dtype=np.int64).T
    sequences = Sequences(
        ids=Ragged.from_rows(ids),
        trunk=np.array(trunks),
        row=rows,
        answer_position=answer_position,
        branch=branches,
        leave=leaves,
        answered=answered,
    )
    after = [ids[row][place + 1] for row, place, _, _ in predictions] if answered else []
    return Drawn(sequences, alone, after, rows.tolist())
