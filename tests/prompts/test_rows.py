from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reeltune.config import build_config
from reeltune.data.folder import PreparedFolder
from reeltune.errors import DataError, LengthError
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.renderer import PROMPT_VERSION, PromptSettings, Renderer
from reeltune.prompts.rows import choose_examples, prompt_settings, refuse_too_long, tokenize
from tests.helpers import chat_tokenizer, write_prepared


@pytest.mark.parametrize("genres", [False, True])
def test_words_follow_the_datas_scale_and_the_configurations_form(
    prepared: PreparedFolder, genres: bool
):
    stored = {"threshold": 3.5, "scale_min": 1.0, "scale_max": 4.0, "version": "0"}
    meta = {**prepared.meta, "prompt": {**prepared.meta["prompt"], **stored}}
    section = build_config({"prompt": {"genres": genres}}).prompt
    assert prompt_settings(PreparedFolder(prepared.path, meta), section) == PromptSettings(
        threshold=3.5, scale_min=1.0, scale_max=4.0, genres=genres, version=PROMPT_VERSION
    )


def test_all_examples_are_chosen_without_a_limit(prepared: PreparedFolder):
    chosen = choose_examples(prepared, "test", None, 0)
    assert chosen.target.tolist() == prepared.examples("test").target.tolist()
    assert chosen.start.tolist() == prepared.examples("test").start.tolist()


def test_a_sample_depends_on_seed_and_split_alone(prepared: PreparedFolder):
    whole = prepared.examples("train")
    start_of = dict(zip(whole.target.tolist(), whole.start.tolist(), strict=True))
    chosen = choose_examples(prepared, "train", 10, 3)
    again = choose_examples(prepared, "train", 10, 3)
    other = choose_examples(prepared, "train", 10, 4)
    assert len(chosen) == 10
    assert chosen.target.tolist() == again.target.tolist() != other.target.tolist()
    assert chosen.start.tolist() == [start_of[target] for target in chosen.target.tolist()]


def test_an_empty_split_is_refused(tmp_path: Path):
    folder = PreparedFolder.open(write_prepared(tmp_path, users=1, events=7))
    assert len(folder.examples("validation")) == 0
    with pytest.raises(DataError, match="no validation example"):
        choose_examples(folder, "validation", None, 0)


def test_rows_say_whose_they_are_and_what_is_right(prepared: PreparedFolder):
    tokens = PromptTokens(chat_tokenizer(), Renderer(PromptSettings()), prepared.films)
    examples = choose_examples(prepared, "test", 9, 0)
    rows = tokenize(prepared, tokens, examples)
    timelines = prepared.timelines
    assert len(rows) == len(rows.prompts) == 9
    for row, target in enumerate(examples.target):
        assert rows.user_id[row] == timelines.user_id[target]
        assert rows.liked[row] == (timelines.stars[target] >= 4.0)
        film = prepared.films[timelines.film_row[target]]
        assert rows.film_id[row] == film.film_id
        text = tokens.tokenizer.decode(rows.prompts[row].tolist())
        assert f"Film to judge:{tokens.renderer.film(film)}Will" in text


def test_a_row_that_just_fits_with_its_answer_is_accepted():
    refuse_too_long(np.array([8, 5]), 10)
    refuse_too_long(np.array([], dtype=np.int64), 10)


def test_rows_that_would_be_cut_are_refused_with_the_length_they_need():
    with pytest.raises(LengthError, match="2 of 3 examples") as caught:
        refuse_too_long(np.array([9, 8, 20]), 10)
    assert caught.value.where == "data.max_length"
    assert "data.max_length to at least 22" in str(caught.value)
