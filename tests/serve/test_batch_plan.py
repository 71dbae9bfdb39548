"""A batch takes queries in order, reads histories once, and shares its room equally."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form
from reeltune.scoring.predictor import Query, query_sequences
from reeltune.serve.batch_plan import (
    BatchSize,
    PendingQuery,
    QuerySlice,
    TokenCounts,
    next_batch,
    token_count,
)
from tests.scoring.models import random_candidates, random_history, random_loaded_model
from tests.serve.queries import BRANCH, TRUNK, pending, queues

MANY = 1000


def all_batches(
    waiting: list[PendingQuery], tokens: int, most: int = MANY
) -> list[list[QuerySlice]]:
    """Batch after batch until nothing waits, as the service runs them."""
    queue = deque(waiting)
    batches = []
    while queue:
        batches.append(next_batch(queue, tokens, most))
        for part in batches[-1]:
            part.pending.done = part.stop
            if len(part.pending.remaining):
                queue.append(part.pending)
    return batches


def sizes(batch: list[QuerySlice]) -> list[int]:
    return [part.stop - part.start for part in batch]


@given(queues(), st.integers(1, 100), st.integers(1, 5))
def test_every_candidate_is_predicted_once_and_in_order(waiting, tokens, most):
    predicted: dict[PendingQuery, list[int]] = {each: [] for each in waiting}
    for batch in all_batches(waiting, tokens, most):
        assert batch
        for part in batch:
            assert part.stop > part.start
            predicted[part.pending] += range(part.start, part.stop)
    assert all(predicted[each] == list(range(len(each.branches))) for each in waiting)


@given(queues(), st.integers(1, 100), st.integers(1, 5))
def test_a_batch_exceeds_its_target_by_one_history_and_as_many_candidate_tokens_at_most(
    waiting, tokens, most
):
    for batch in all_batches(waiting, tokens, most):
        assert len(batch) <= most
        trunks = {part.pending.history_key: part.pending.trunk for part in batch}
        first = batch[0].pending
        largest = int(first.trunk + first.branches[batch[0].start])
        assert token_count(batch) <= max(tokens, 2 * sum(trunks.values()), largest)


@given(queues(), st.integers(1, 100))
def test_the_longest_waiting_query_is_in_the_next_batch(waiting, tokens):
    queue = deque(waiting)
    while queue:
        first = queue[0]
        assert next_batch(queue, tokens, MANY)[0].pending is first


@given(queues(), st.integers(1, 100), st.integers(1, 5))
def test_skipped_queries_keep_their_order(waiting, tokens, most):
    queue = deque(waiting)
    taken = {part.pending for part in next_batch(queue, tokens, most)}
    assert list(queue) == [each for each in waiting if each not in taken]


def test_skipped_queries_come_before_unexamined_ones():
    waiting = [pending(0), pending(1), pending(0), pending(2)]
    queue = deque(waiting)
    next_batch(queue, 1, 2)
    assert list(queue) == [waiting[1], waiting[3]]


@given(st.integers(1, 6), st.integers(100, 1000), st.integers(0, 5))
def test_a_short_query_does_not_wait_behind_a_long_one(short, long, before):
    waiting = [pending(history, 1) for history in range(short)]
    waiting.insert(min(before, short), pending(99, long))
    first = all_batches(waiting, (short + 1) * (TRUNK + BRANCH))[0]
    assert {part.pending for part in first} == set(waiting)


def test_room_is_shared_equally_and_unused_room_goes_to_the_others():
    waiting = [pending(0, 100), pending(1, 3), pending(2, 100)]
    batch = next_batch(deque(waiting), 3 * TRUNK + 43 * BRANCH, MANY)
    assert sizes(batch) == [20, 3, 20]


def test_a_single_query_takes_all_the_room():
    assert sizes(next_batch(deque([pending(0, 100)]), TRUNK + 50 * BRANCH, MANY)) == [50]


def test_a_history_is_not_read_for_a_few_candidates():
    for tokens in (1, TRUNK, TRUNK + BRANCH):
        batch = next_batch(deque([pending(0, 100)]), tokens, MANY)
        assert sizes(batch) == [TRUNK // BRANCH]


def test_queries_with_a_history_of_the_batch_are_added():
    waiting = [pending(0), pending(1), pending(0), pending(2), pending(0)]
    batch = next_batch(deque(waiting), TRUNK + BRANCH, MANY)
    assert [part.pending for part in batch] == [waiting[0], waiting[2], waiting[4]]
    assert token_count(batch) == TRUNK + 3 * BRANCH


def test_the_base_model_reads_its_histories_itself():
    waiting = [pending(0), pending(0, base=True)]
    assert token_count(next_batch(deque(waiting), MANY, MANY)) == 2 * (TRUNK + BRANCH)


def test_no_history_overtakes_another():
    waiting = [pending(0), pending(1, trunk=50), pending(2, trunk=1)]
    batch = next_batch(deque(waiting), TRUNK + 5 * BRANCH, MANY)
    assert [part.pending for part in batch] == waiting[:1]


def test_a_batch_has_the_tokens_that_fit_its_target_time():
    size = BatchSize(target_seconds=2.0, max_tokens=500)
    assert size.tokens == 1
    for _ in range(50):
        size.update(30, 0.3)
    assert size.tokens == pytest.approx(200, abs=1)
    for _ in range(50):
        size.update(1000, 0.1)
    assert size.tokens == 500
    for _ in range(50):
        size.update(10, 60.0)
    assert size.tokens == 1


def test_the_delay_is_a_small_share_of_a_batch():
    size = BatchSize(target_seconds=1.0, max_tokens=500)
    assert size.delay == 0
    for _ in range(50):
        size.update(30, 0.4)
    assert size.delay == pytest.approx(0.02)
    for _ in range(50):
        size.update(30, 60.0)
    assert size.delay == 0.05


@pytest.mark.parametrize("form", ["window", "interview"])
def test_token_counts_are_those_of_the_sequences(
    prepared: PreparedFolder, tiny_qwen3: Path, form: Form
):
    random = np.random.default_rng(5)
    tokens = random_loaded_model(prepared, tiny_qwen3, form).tokens
    for count in (0, 1, 5):
        history = random_history(random, 40, count)
        candidates = random_candidates(random, 40, 7)
        sequences = query_sequences(tokens, [Query(history, candidates)])
        trunk, branches = TokenCounts(tokens, len(history), True).of(history, candidates)
        assert (trunk, trunk + branches.sum()) == (sequences.trunk[0], len(sequences.ids.values))
        nothing, whole = TokenCounts(tokens, len(history), False).of(history, candidates)
        assert (nothing, whole.tolist()) == (0, (trunk + branches).tolist())
        assert whole.tolist() == sequences.prompt_lengths.tolist()
