"""Tokens that span two pieces are detected, and the items are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AddedToken, PreTrainedTokenizerFast

from reeltune.domain import INTERVIEW, WINDOW, Form, Item, PromptSettings, Renderer
from reeltune.prompts.encoding import encode_rows
from reeltune.prompts.piece_texts import piece_texts
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.proof import PiecesProof
from reeltune.ragged import Ragged
from tests.helpers import ODD_TITLES, chat_tokenizer, make_items
from tests.prompts.build import FORMS, KINDS, lists, tokenizer_of

# More films than share a string; one of them is in the middle of such a group.
ITEMS = make_items(40)
HEAT = 24
ITEMS[HEAT] = Item(1000, "Heat", None, ())


def tokens_with(form: Form, *added: str) -> PromptTokens:
    tokenizer = chat_tokenizer("qwen3")
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added])
    return PromptTokens(tokenizer, Renderer(PromptSettings(form=form)), ITEMS)


@pytest.mark.parametrize(
    ("form", "token"),
    [
        (WINDOW, ": Heat\n"),  # both after stars and as the candidate
        (WINDOW, "2.5: Heat\n"),
        (WINDOW, "3.0: Heat\n"),
        (WINDOW, "Heat\n3"),
        (WINDOW, "Heat\nFilm to"),
        (WINDOW, "judge: Heat\n"),
        (WINDOW, "Heat\nYes or"),
        (WINDOW, "Heat\nYes or No?<|im_end|>\n"),
        (INTERVIEW, "First: Heat\n"),
        (INTERVIEW, "2.5 stars. Next: Heat\n"),
        (INTERVIEW, "Heat\n<|im_end|>\n<|im_start|>assistant\nNo"),
        (INTERVIEW, "Heat\n<|im_end|>\n<|im_start|>assistant\n"),
    ],
)
def test_items_are_compared_in_every_context(form: Form, token: str):
    assert tokens_with(form, token).differing == [ITEMS[HEAT]]


@pytest.mark.parametrize(
    ("form", "token"),
    [
        (WINDOW, "stars:\n5.0"),
        (WINDOW, "stars:\n0.5"),
        (WINDOW, "No.\nFilms"),
        (WINDOW, "No.\nFilm to"),
        (INTERVIEW, "First: "),
    ],
)
def test_the_instruction_is_compared_with_everything_that_can_follow(form: Form, token: str):
    assert tokens_with(form, token).differing == ITEMS


def proven(tokens: PromptTokens) -> tuple[list[int], list[int]]:
    """The films that differ, and how many strings each round that compared films has tokenized."""
    rounds: list[int] = []

    def count(these: list[str]) -> Ragged:
        rounds.append(len(these))
        return encode_rows(tokens.tokenizer, these)

    texts = piece_texts(tokens.renderer, tokens.frame)
    both = (tokens.item_texts, tokens.candidate_texts)
    proof = PiecesProof(texts, *both, tokens.pieces, tokens.tokenizer.encode, count)
    return proof.differing(), rounds[:-1]  # the last compares whole prompts


@pytest.mark.parametrize("form", FORMS)
def test_items_are_compared_in_groups_if_nothing_differs(form: Form):
    differing, rounds = proven(tokens_with(form))
    assert differing == []
    assert len(rounds) == 1
    assert rounds[0] < len(ITEMS) / 10


@pytest.mark.parametrize(
    ("form", "token"), [(WINDOW, "<|im_end|>\n1.0"), (INTERVIEW, "<|im_end|>\nFirst")]
)
def test_differences_that_no_prompt_contains_are_ignored(form: Form, token: str):
    differing, rounds = proven(tokens_with(form, token))
    assert differing == []
    # The strings that several films share did differ, and their films were compared alone.
    assert len(rounds) == 2


@pytest.mark.parametrize(
    ("form", "token"),
    [(INTERVIEW, "stars.\nFirst"), *((form, "<|im_end|>\n<|im_start|>") for form in FORMS)],
)
def test_a_line_that_ends_inside_a_token_is_compared_whole(form: Form, token: str):
    differing, rounds = proven(tokens_with(form, token))
    assert differing == []
    assert len(rounds) == 1
    differing, rounds = proven(tokens_with(form, token, ": Heat\n"))
    assert differing == [HEAT]


_over = st.sampled_from([": The ", "\n4.", ")\nFilm", "judge: A", ")\nYes", ")\n<|im_end|>", ": W"])


@pytest.mark.slow
@given(st.sampled_from(FORMS), st.lists(_over, max_size=2), st.integers(2, 17))
def test_sharing_strings_changes_nothing(form: Form, added: list[str], together: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reeltune.prompts.proof._TOGETHER", together)
        shared = tokens_with(form, *added).differing
        patch.setattr("reeltune.prompts.proof._TOGETHER", 1)
        assert tokens_with(form, *added).differing == shared


@pytest.mark.parametrize("form", FORMS)
def test_no_film_differs_from_nothing(form: Form):
    tokenizer, renderer = tokenizer_of("qwen3"), Renderer(PromptSettings(form=form))
    assert PromptTokens(tokenizer, renderer, []).differing == []


def ordinary(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "texts", [[], ["", "One"], [*ODD_TITLES, "<|im_start|>user\nHi<|im_end|>"]]
)
def test_many_texts_are_encoded_as_each_alone(
    kind: Any, texts: list[str], monkeypatch: pytest.MonkeyPatch
):
    tokenizer = tokenizer_of(kind)
    expected = ordinary(tokenizer, texts)
    assert lists(encode_rows(tokenizer, texts)) == expected
    monkeypatch.setattr("reeltune.prompts.encoding._ENCODE_ROWS", 3)
    assert lists(encode_rows(tokenizer, texts)) == expected


def test_a_backend_that_pads_and_cuts_does_neither_here():
    tokenizer = chat_tokenizer("llama")
    texts = ["A long text, much longer than the other", "Short"]
    expected = ordinary(tokenizer, texts)
    tokenizer.backend_tokenizer.enable_padding(length=64)
    tokenizer.backend_tokenizer.enable_truncation(max_length=4)
    assert lists(encode_rows(tokenizer, texts)) == expected


class Slow(PreTrainedTokenizerFast):
    """A tokenizer without a fast backend, by its attribute."""

    @property
    def is_fast(self) -> bool:
        return False

    @property
    def backend_tokenizer(self) -> Any:
        raise AssertionError("there is none")


def test_a_tokenizer_without_a_fast_backend_serves_as_well():
    fast = chat_tokenizer("llama")
    slow = Slow(tokenizer_object=fast.backend_tokenizer, chat_template=fast.chat_template)
    slow.eos_token = fast.eos_token
    renderer = Renderer(PromptSettings())
    found = PromptTokens(slow, renderer, ITEMS)
    assert found.differing == []
    expected = PromptTokens(fast, renderer, ITEMS).pieces
    assert np.array_equal(found.pieces.items.values, expected.items.values)
