"""Batches: every example exactly once in an epoch, with its label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from transformers import AutoTokenizer

from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form, Renderer
from reeltune.errors import LengthError
from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import Selection, TokenRows, choose_blocks, tokenize
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.training.collate import (
    ROW,
    Batch,
    Collator,
    Labels,
    PackCollator,
    PlainCollator,
    tokens_held,
)

ANSWERS = AnswerTokens(yes=7, no=9, end=2)
PAD_ID = 0
LAYOUTS: tuple[tuple[Form, bool], ...] = (
    ("window", True),
    ("interview", True),
    ("window", False),
)


@pytest.fixture(params=LAYOUTS, ids=str)
def rows(request: pytest.FixtureRequest, prepared: PreparedFolder, tiny_qwen3) -> TokenRows:
    form, share_history = request.param
    renderer = Renderer(replace(prepared.prompt_settings, form=form))
    tokens = PromptTokens(AutoTokenizer.from_pretrained(tiny_qwen3), renderer, prepared.items)
    selection = Selection("train", 50, 3, share_history, 4, answered=True)
    return tokenize(prepared, tokens, choose_blocks(prepared, selection), selection)


def collator_of(rows: TokenRows, end: bool = True, **changes) -> Collator:
    labels = Labels(ANSWERS, end)
    if rows.sequences.plain:
        return PlainCollator(rows, labels, PAD_ID)
    settings = {"row_length": 896, "batch_size": None} | changes
    return PackCollator(rows, labels, PAD_ID, **settings)


def epoch(collator: Collator, size: int) -> list[Batch]:
    """The batches of one epoch in a shuffled order."""
    order = np.random.default_rng(0).permutation(len(collator))
    return [
        collator([{ROW: int(row)} for row in order[first : first + size]])
        for first in range(0, len(order), size)
    ]


def arrays(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a batch, and which of them are tokens."""
    if "packed" in batch:
        ids = batch["packed"].ids
        return ids.numpy(), (batch["packed"].parent != -2).numpy()
    return batch["input_ids"].numpy(), batch["attention_mask"].numpy().astype(bool)


@pytest.mark.parametrize("size", [1, 3])
def test_every_example_is_predicted_exactly_once_in_an_epoch(rows, size):
    """Each token's id is its index among all tokens, which identifies the prediction."""
    count = len(rows.sequences.ids.values)
    named = Ragged(np.arange(1, count + 1, dtype=np.int32), rows.sequences.ids.offsets)
    sequences = replace(rows.sequences, ids=named)
    name_of = 1 + sequences.ids.offsets[sequences.row] + sequences.answer_position
    found = []
    for batch in epoch(collator_of(replace(rows, sequences=sequences)), size):
        names = arrays(batch)[0].flatten()[batch["answer_position"].numpy()]
        liked = batch["labels"][:, 0] == ANSWERS.yes
        found += list(zip(names.tolist(), liked.tolist(), strict=True))
    assert sorted(found) == sorted(zip(name_of.tolist(), rows.liked.tolist(), strict=True))
    assert len({name for name, _ in found}) == 50


def test_the_answer_follows_every_answer_position(rows, tiny_qwen3):
    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen3)
    yes = tokenizer.convert_tokens_to_ids("Yes")
    for batch in epoch(collator_of(rows), 2):
        following = arrays(batch)[0].flatten()[batch["answer_position"].numpy() + 1]
        liked = (batch["labels"][:, 0] == ANSWERS.yes).numpy()
        assert ((following == yes) == liked).all()


def test_batches_count_their_tokens_and_fill_up_with_padding(rows):
    total = 0
    for batch in epoch(collator_of(rows), 2):
        ids, real = arrays(batch)
        assert batch["tokens"] == real.sum()
        assert tokens_held(batch) == ids.size
        assert (ids[~real] == PAD_ID).all()
        assert real.any(axis=0).all()  # no column that every row leaves empty
        total += batch["tokens"]
    assert total == len(rows.sequences.ids.values)


def test_sizes_are_the_tokens_of_each_row(rows):
    collator = collator_of(rows)
    alone = [collator([{ROW: row}])["tokens"] for row in range(len(collator))]
    assert collator.sizes.tolist() == alone


def test_labels_are_the_answer_alone_or_with_the_end_of_the_turn():
    liked = np.array([True, False])
    both, words = Labels(ANSWERS, end=True)(liked), Labels(ANSWERS, end=False)(liked)
    assert both["labels"].tolist() == [[7, 2], [9, 2]]
    assert words["labels"].tolist() == [[7], [9]]
    for labels in (both, words):
        assert labels["shift_labels"] is labels["labels"]


def test_the_trained_tokens_read_as_the_answer(tiny_qwen3, prepared):
    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen3)
    tokens = PromptTokens(tokenizer, Renderer(prepared.prompt_settings), prepared.items)
    labels = Labels(tokens.answers, end=True)(np.array([True, False]))["labels"]
    assert [tokenizer.decode(row) for row in labels] == ["Yes<|im_end|>", "No<|im_end|>"]


def test_plain_rows_by_hand():
    prompts = Ragged.from_rows([[11, 12, 13, 7], [21, 22, 23, 24, 25, 9]])
    none = np.zeros(2, dtype=np.int64)
    rows = TokenRows(Sequences.single(prompts, True), np.array([True, False]), none, none)
    batch = PlainCollator(rows, Labels(ANSWERS, end=True), PAD_ID)([{ROW: 0}, {ROW: 1}])
    assert batch["input_ids"].tolist() == [[11, 12, 13, 7, 0, 0], [21, 22, 23, 24, 25, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert batch["answer_position"].tolist() == [2, 10]
    assert batch["labels"].tolist() == [[7, 2], [9, 2]]
    assert batch["tokens"] == 10


@pytest.mark.parametrize("rows", LAYOUTS[:2], indirect=True, ids=str)
def test_compiled_models_get_batches_of_one_shape(rows):
    size = len(collator_of(rows)) - 1  # the last batch has one row
    assert size > 1
    batches = epoch(collator_of(rows, batch_size=size), size)
    assert {tuple(batch["packed"].ids.shape) for batch in batches} == {(size, 896)}
    assert sum(batch["tokens"] for batch in batches) == len(rows.sequences.ids.values)


@pytest.mark.parametrize("rows", LAYOUTS[:1], indirect=True, ids=str)
def test_a_block_longer_than_a_row_names_the_setting(rows):
    with pytest.raises(LengthError) as caught:
        collator_of(rows, row_length=100)
    assert caught.value.where == "train.pack_length"
