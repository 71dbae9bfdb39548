"""What one pass takes from the queue: everybody in turn, histories once, room shared equally."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from reeltune.serve.passes import Part, Waiting, next_pass, tokens_of
from tests.serve.build import BRANCH, TRUNK, queues, waiting

MANY = 1000


def all_passes(asked: list[Waiting], tokens: int, most: int = MANY) -> list[list[Part]]:
    """Pass after pass until nothing waits, as the service runs them."""
    queue = deque(asked)
    passes = []
    while queue:
        passes.append(next_pass(queue, tokens, most))
        for part in passes[-1]:
            part.waiting.judged = part.stop
            if len(part.waiting.left):
                queue.append(part.waiting)
    return passes


def sizes(parts: list[Part]) -> list[int]:
    return [part.stop - part.start for part in parts]


@given(queues(), st.integers(1, 100), st.integers(1, 5))
def test_every_candidate_is_judged_once_and_in_order(asked, tokens, most):
    judged: dict[Waiting, list[int]] = {one: [] for one in asked}
    for parts in all_passes(asked, tokens, most):
        assert parts
        for part in parts:
            assert part.stop > part.start
            judged[part.waiting] += range(part.start, part.stop)
    assert all(judged[one] == list(range(len(one.branches))) for one in asked)


@given(queues(), st.integers(1, 100), st.integers(1, 5))
def test_a_pass_holds_what_it_should_or_one_history_and_as_many_tokens_of_candidates(
    asked, tokens, most
):
    for parts in all_passes(asked, tokens, most):
        assert len(parts) <= most
        trunks = {part.waiting.shown: part.waiting.trunk for part in parts}
        first = parts[0].waiting
        largest = int(first.trunk + first.branches[parts[0].start])
        assert tokens_of(parts) <= max(tokens, 2 * sum(trunks.values()), largest)


@given(queues(), st.integers(1, 100))
def test_who_has_waited_longest_is_in_the_next_pass(asked, tokens):
    queue = deque(asked)
    while queue:
        first = queue[0]
        assert next_pass(queue, tokens, MANY)[0].waiting is first


@given(queues(), st.integers(1, 100), st.integers(1, 5))
def test_those_who_are_passed_over_keep_their_order(asked, tokens, most):
    queue = deque(asked)
    taken = {part.waiting for part in next_pass(queue, tokens, most)}
    assert list(queue) == [one for one in asked if one not in taken]


def test_who_was_passed_over_comes_before_who_was_not_looked_at():
    asked = [waiting(0), waiting(1), waiting(0), waiting(2)]
    queue = deque(asked)
    next_pass(queue, 1, 2)
    assert list(queue) == [asked[1], asked[3]]


@given(st.integers(1, 6), st.integers(100, 1000), st.integers(0, 5))
def test_a_short_question_does_not_wait_behind_a_long_one(short, long, before):
    asked = [waiting(history, 1) for history in range(short)]
    asked.insert(min(before, short), waiting(99, long))
    first = all_passes(asked, (short + 1) * (TRUNK + BRANCH))[0]
    assert {part.waiting for part in first} == set(asked)


def test_room_is_shared_equally_and_what_one_leaves_over_goes_to_the_others():
    asked = [waiting(0, 100), waiting(1, 3), waiting(2, 100)]
    parts = next_pass(deque(asked), 3 * TRUNK + 43 * BRANCH, MANY)
    assert sizes(parts) == [20, 3, 20]


def test_a_single_question_takes_all_the_room():
    assert sizes(next_pass(deque([waiting(0, 100)]), TRUNK + 50 * BRANCH, MANY)) == [50]


def test_a_history_is_not_read_for_a_few_candidates():
    for tokens in (1, TRUNK, TRUNK + BRANCH):
        parts = next_pass(deque([waiting(0, 100)]), tokens, MANY)
        assert sizes(parts) == [TRUNK // BRANCH]


def test_a_history_in_the_pass_lets_others_with_the_same_come_too():
    asked = [waiting(0), waiting(1), waiting(0), waiting(2), waiting(0)]
    parts = next_pass(deque(asked), TRUNK + BRANCH, MANY)
    assert [part.waiting for part in parts] == [asked[0], asked[2], asked[4]]
    assert tokens_of(parts) == TRUNK + 3 * BRANCH


def test_the_base_model_reads_its_histories_itself():
    asked = [waiting(0), waiting(0, base=True)]
    assert tokens_of(next_pass(deque(asked), MANY, MANY)) == 2 * (TRUNK + BRANCH)


def test_no_history_overtakes_another():
    asked = [waiting(0), waiting(1, trunk=50), waiting(2, trunk=1)]
    parts = next_pass(deque(asked), TRUNK + 5 * BRANCH, MANY)
    assert [part.waiting for part in parts] == asked[:1]
