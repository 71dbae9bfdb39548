"""Sequences that share histories hold exactly the prompts of their examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.data.history import History
from reeltune.data.timelines import Blocks, Timelines, cut_blocks
from reeltune.domain import INTERVIEW, WINDOW, Form
from reeltune.prompts import sharing
from reeltune.prompts.sequences import NO_BRANCH, Sequences
from reeltune.prompts.sharing import block_sequences, candidate_sequences
from tests.helpers import Kind
from tests.prompts.build import FORMS, ITEMS, KINDS, lists, tokens_of
from tests.timelines import examples_of, random_timelines, stretches, timelines_of

kinds, forms = st.sampled_from(KINDS), st.sampled_from(FORMS)


@pytest.fixture(scope="module", autouse=True)
def two_blocks_at_a_time():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "_BLOCKS", 2)
        yield


@st.composite
def cut_timelines(draw: st.DrawFn) -> tuple[Timelines, Blocks]:
    """Events over :data:`ITEMS`, and blocks of examples among them."""
    timelines = draw(random_timelines(len(ITEMS)))
    examples = examples_of(timelines, draw(st.integers(1, 4)))
    return timelines, cut_blocks(timelines, examples, draw(st.integers(1, 5)))


def shared(
    kind: Kind, form: Form, answered: bool, cut: tuple[Timelines, Blocks]
) -> tuple[Sequences, list[list[int]]]:
    """The sequences of blocks, and the single prompts of their examples."""
    tokens, (timelines, blocks) = tokens_of(kind, form), cut
    assert tokens.differing == []
    answers = tokens.answers if answered else None
    sequences = block_sequences(tokens.pieces, timelines, blocks, form, answers)
    return sequences, lists(tokens.prompts(timelines, blocks.examples))


@given(kinds, forms, st.booleans(), cut_timelines())
def test_a_prediction_of_a_block_has_the_prompt_of_its_example(
    kind: Kind, form: Form, answered: bool, cut: tuple[Timelines, Blocks]
):
    sequences, prompts = shared(kind, form, answered, cut)
    assert lists(sequences.alone()) == prompts
    assert sequences.prompt_lengths.tolist() == [len(prompt) for prompt in prompts]
    assert sequences.answered == answered
    sizes = np.diff(sequences.answer_offsets).tolist()
    assert sizes == [len(block) for block in stretches(cut[1])]


@given(kinds, forms, cut_timelines())
def test_the_correct_answer_follows_every_answer_position(
    kind: Kind, form: Form, cut: tuple[Timelines, Blocks]
):
    sequences, _ = shared(kind, form, True, cut)
    answers, (timelines, blocks) = tokens_of(kind, form).answers, cut
    for row, place, target in zip(
        sequences.row, sequences.answer_position, blocks.examples.target, strict=True
    ):
        word = answers.yes if timelines.rating[target] >= 4.0 else answers.no
        assert sequences.ids[int(row)][place + 1] == word


@pytest.mark.slow
@given(kinds, st.booleans(), cut_timelines())
def test_a_window_has_its_history_once_and_a_branch_for_each_candidate(
    kind: Kind, answered: bool, cut: tuple[Timelines, Blocks]
):
    sequences, prompts = shared(kind, WINDOW, answered, cut)
    offsets = sequences.answer_offsets
    behind = 2 if answered else 1
    for row in range(len(sequences)):
        own = slice(offsets[row], offsets[row + 1])
        trunk, leave = int(sequences.trunk[row]), sequences.leave[own]
        # The last candidate leaves the trunk at its end; the others before, one after another.
        assert leave[-1] == trunk
        assert (np.diff(leave) > 0).all()
        begins, ends = sequences.branch[own], sequences.answer_position[own] + behind
        assert begins.tolist() == [trunk, *ends[:-1].tolist()]
        assert ends[-1] == len(sequences.ids[row])
        branches = [len(p) - at for p, at in zip(prompts[own], leave.tolist(), strict=True)]
        assert len(sequences.ids[row]) == trunk + sum(branches) + (behind - 1) * len(branches)


@given(kinds, st.booleans(), cut_timelines())
def test_an_interview_is_its_last_prompt_and_has_no_branches(
    kind: Kind, answered: bool, cut: tuple[Timelines, Blocks]
):
    sequences, prompts = shared(kind, INTERVIEW, answered, cut)
    last = [prompts[end - 1] for end in sequences.answer_offsets[1:]]
    ids = lists(sequences.ids)
    assert [row[:-1] for row in ids] == last if answered else ids == last
    assert sequences.trunk.tolist() == [len(row) for row in ids]
    assert (sequences.branch == NO_BRANCH).all()
    assert (sequences.leave == sequences.answer_position + 1).all()


@pytest.mark.slow
@given(kinds, forms, st.booleans(), cut_timelines(), st.integers(1, 600))
def test_divided_blocks_have_the_same_predictions(
    kind: Kind, form: Form, answered: bool, cut: tuple[Timelines, Blocks], limit: int
):
    sequences, prompts = shared(kind, form, answered, cut)
    assert lists(sequences.divided(limit).alone()) == prompts


@pytest.mark.slow
@given(kinds, forms, random_timelines(len(ITEMS)), st.data())
def test_candidates_after_each_history_have_their_prompts(
    kind: Kind, form: Form, timelines: Timelines, data: st.DataObject
):
    tokens = tokens_of(kind, form)
    items = st.lists(st.integers(0, len(ITEMS) - 1), max_size=6)
    histories, candidates, expected = [], [], []
    for _ in range(data.draw(st.integers(1, 4))):
        # One user's history, also an empty one, and any films, also none or the same one twice.
        user = np.flatnonzero(timelines.user_id == timelines.user_id[0])
        start = data.draw(st.integers(0, len(user)))
        stop = data.draw(st.integers(start, len(user)))
        histories.append(History.from_timelines(timelines, range(start, stop), 1))
        candidates.append(np.array(data.draw(items), dtype=np.int64))
        expected += lists(tokens.candidate_prompts(histories[-1], candidates[-1]))
    sequences = candidate_sequences(tokens.pieces, histories, candidates)
    assert len(sequences) == len(histories)
    assert lists(sequences.alone()) == expected
    assert np.bincount(sequences.row, minlength=len(histories)).tolist() == [
        len(case) for case in candidates
    ]
    assert (sequences.leave == sequences.trunk[sequences.row]).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("answered", [False, True])
def test_no_blocks_give_no_sequences(form: Form, answered: bool):
    timelines = timelines_of([0, 1], [4.0, 2.0], split=["context", "test"])
    blocks = cut_blocks(timelines, examples_of(timelines, 3), 5)
    sequences, prompts = shared("qwen3", form, answered, (timelines, blocks))
    assert (len(sequences), sequences.answer_count, prompts) == (0, 0, [])
    assert sequences.answered == answered
