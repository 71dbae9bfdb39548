from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reeltune.config import build_config
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import Blocks, cut_blocks
from reeltune.domain import INTERVIEW, PROMPT_VERSION, Form, PromptSettings, Renderer
from reeltune.errors import DataError, LengthError
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import (
    Selection,
    TokenRows,
    choose_blocks,
    held_out_rows,
    prompt_settings,
    refuse_too_long,
    tokenize,
)
from tests.errors import raises_error
from tests.helpers import chat_tokenizer, write_prepared
from tests.prompts.build import FORMS, lists, merging_tokenizer, whole_prompts
from tests.timelines import stretches

TRAIN = Selection("train", None, 0, True, 4)


def tokens_over(prepared: PreparedFolder, form: Form) -> PromptTokens:
    return PromptTokens(chat_tokenizer(), Renderer(PromptSettings(form=form)), prepared.items)


def targets(blocks: Blocks) -> list[int]:
    return blocks.examples.target.tolist()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("genres", [False, True])
def test_settings_take_the_scale_of_the_data_and_the_configured_form(
    prepared: PreparedFolder, genres: bool, form: Form
):
    stored = {"threshold": 3.5, "scale_min": 1.0, "scale_max": 4.0, "version": "0"}
    meta = {**prepared.meta, "prompt": {**prepared.meta["prompt"], **stored}}
    section = build_config({"prompt": {"genres": genres, "form": form, "signals": []}}).prompt
    assert prompt_settings(PreparedFolder(prepared.path, meta), section) == PromptSettings(
        threshold=3.5,
        scale_min=1.0,
        scale_max=4.0,
        genres=genres,
        form=form,
        version=PROMPT_VERSION,
    )


def test_held_out_rows_follow_the_configuration():
    config = build_config(
        {
            "train": {"seed": 7, "block_size": 3, "share_history": True},
            "scoring": {"share_history": False},
        }
    )
    expected = Selection("test", 20, 7, False, 3, answered=False)
    assert held_out_rows(config, "test", 20) == expected


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_all_examples_are_chosen_without_a_limit_and_with_a_large_one(
    prepared: PreparedFolder, split: str
):
    examples = prepared.examples(split)
    for limit in (None, len(examples), len(examples) + 1):
        selection = replace(TRAIN, split=split, limit=limit)
        found = choose_blocks(prepared, selection)
        expected = cut_blocks(prepared.timelines, examples, TRAIN.block_size)
        assert targets(found) == examples.target.tolist()
        assert found.examples.start.tolist() == expected.examples.start.tolist()
        assert found.offsets.tolist() == expected.offsets.tolist()
        single = choose_blocks(prepared, replace(selection, share_history=False))
        assert targets(single) == examples.target.tolist()


@pytest.mark.parametrize("limit", [1, 10, 33])
@pytest.mark.parametrize("seed", [0, 1])
def test_both_layouts_sample_the_same_rows(prepared: PreparedFolder, limit: int, seed: int):
    selection = replace(TRAIN, limit=limit, seed=seed)
    blocks = choose_blocks(prepared, selection)
    single = choose_blocks(prepared, replace(selection, share_history=False))
    assert targets(blocks) == targets(single)
    assert len(targets(blocks)) == limit
    whole = {tuple(block.target) for block in stretches(choose_blocks(prepared, TRAIN))}
    cut = [block for block in stretches(blocks) if tuple(block.target) not in whole]
    assert len(cut) <= 1


def test_a_sample_depends_on_seed_and_block_length_alone(prepared: PreparedFolder):
    selection = replace(TRAIN, limit=10, seed=3)
    chosen = targets(choose_blocks(prepared, selection))
    assert chosen == targets(choose_blocks(prepared, selection))
    assert chosen == targets(choose_blocks(prepared, replace(selection, answered=True)))
    assert chosen != targets(choose_blocks(prepared, replace(selection, seed=4)))
    assert chosen != targets(choose_blocks(prepared, replace(selection, block_size=1)))


def test_samples_of_different_splits_are_independent(prepared: PreparedFolder):
    # One block for each user, and the first of them in the order that is drawn.
    first = {
        split: [
            int(prepared.timelines.user_id[targets(choose_blocks(prepared, one))[0]])
            for seed in range(8)
            for one in [Selection(split, 1, seed, True, 1000)]
        ]
        for split in ("train", "test")
    }
    assert first["train"] != first["test"]
    assert all(len(set(users)) > 1 for users in first.values())


@pytest.mark.parametrize("limit", [None, 10])
def test_a_single_prompt_shows_the_history_length_and_no_more(
    prepared: PreparedFolder, limit: int | None
):
    blocks = choose_blocks(prepared, replace(TRAIN, share_history=False, limit=limit))
    whole = prepared.examples("train")
    start_of = dict(zip(whole.target.tolist(), whole.start.tolist(), strict=True))
    assert blocks.examples.start.tolist() == [start_of[target] for target in targets(blocks)]
    assert blocks.offsets.tolist() == list(range(len(blocks.examples) + 1))


def test_histories_in_a_block_grow_by_at_most_its_size(prepared: PreparedFolder):
    blocks = choose_blocks(prepared, TRAIN)
    shown = blocks.examples.target - blocks.examples.start
    assert shown.max() == prepared.history_len + TRAIN.block_size - 1
    assert {len(block) for block in stretches(blocks)} >= {TRAIN.block_size}


def test_an_empty_split_is_refused(tmp_path: Path):
    folder = PreparedFolder.open(write_prepared(tmp_path, users=1, events=7))
    assert len(folder.examples("validation")) == 0
    with raises_error(DataError, "empty_split", figures=["validation"]):
        choose_blocks(folder, replace(TRAIN, split="validation"))


def rows_of(prepared: PreparedFolder, tokens: PromptTokens, selection: Selection) -> TokenRows:
    return tokenize(prepared, tokens, choose_blocks(prepared, selection), selection)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shared", [True, False])
def test_rows_have_user_item_and_label(prepared: PreparedFolder, form: Form, shared: bool):
    tokens = tokens_over(prepared, form)
    selection = Selection("test", 9, 0, shared, 3)
    blocks = choose_blocks(prepared, selection)
    rows = tokenize(prepared, tokens, blocks, selection)
    timelines = prepared.timelines
    assert len(rows) == rows.sequences.answer_count == 9
    lead = "Next:" if form == INTERVIEW else "Film to judge:"
    for row, (target, prompt) in enumerate(
        zip(targets(blocks), rows.sequences.alone(), strict=True)
    ):
        assert rows.user_id[row] == timelines.user_id[target]
        assert rows.liked[row] == (timelines.rating[target] >= 4.0)
        item = prepared.items[timelines.item_idx[target]]
        assert rows.item_id[row] == item.item_id
        *_, query = str(tokens.tokenizer.decode(prompt.tolist())).split(lead)
        assert query.startswith(tokens.renderer.item(item))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("answered", [False, True])
def test_rows_contain_the_whole_prompts_with_and_without_sharing(
    prepared: PreparedFolder, form: Form, shared: bool, answered: bool
):
    tokens = tokens_over(prepared, form)
    selection = replace(TRAIN, share_history=shared, answered=answered)
    blocks = choose_blocks(prepared, selection)
    sequences = tokenize(prepared, tokens, blocks, selection).sequences
    assert lists(sequences.alone()) == whole_prompts(
        tokens.tokenizer, tokens.renderer, prepared.items, prepared.timelines, blocks.examples
    )
    assert sequences.answered == answered
    assert sequences.plain == (not shared)
    assert len(sequences) == len(blocks)


@pytest.mark.parametrize("form", FORMS)
def test_an_answered_single_row_ends_with_its_answer(prepared: PreparedFolder, form: Form):
    tokens = tokens_over(prepared, form)
    rows = rows_of(prepared, tokens, replace(TRAIN, share_history=False, answered=True))
    words = [int(row[-1]) for row in rows.sequences.ids]
    assert words == [tokens.answers.of(bool(liked)) for liked in rows.liked]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("answered", [False, True])
def test_examples_are_single_whole_prompts_if_pieces_differ(
    prepared: PreparedFolder, form: Form, answered: bool
):
    tokenizer = merging_tokenizer()
    tokens = PromptTokens(tokenizer, Renderer(PromptSettings(form=form)), prepared.items)
    assert tokens.differing
    selection = replace(TRAIN, answered=answered)
    blocks = choose_blocks(prepared, selection)
    rows = tokenize(prepared, tokens, blocks, selection)
    expected = whole_prompts(
        tokenizer, tokens.renderer, prepared.items, prepared.timelines, blocks.examples
    )
    assert rows.sequences.plain
    assert lists(rows.sequences.alone()) == expected
    if answered:
        for prompt, liked in zip(expected, rows.liked, strict=True):
            prompt.append(tokens.answers.of(bool(liked)))
    assert lists(rows.sequences.ids) == expected


def test_a_row_that_just_fits_with_its_answer_is_accepted():
    refuse_too_long(np.array([8, 5]), 10)
    refuse_too_long(np.array([], dtype=np.int64), 10)


def test_too_long_rows_are_refused_with_the_length_they_need():
    figures = ["2 of 3", "at least 22", "train.block_size"]
    with raises_error(LengthError, "prompt_too_long", where="data.max_length", figures=figures):
        refuse_too_long(np.array([9, 8, 20]), 10)
