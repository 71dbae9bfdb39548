"""Item text in prompts: within its budget, under the candidate, and shared exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AddedToken

from reeltune.data.history import History
from reeltune.data.tags import ItemTags, Tag
from reeltune.data.timelines import Timelines, cut_blocks
from reeltune.domain import INTERVIEW, WINDOW, Form, PromptSettings, Renderer, SignalKind
from reeltune.prompts.encoding import encode_rows
from reeltune.prompts.item_text import cut_texts
from reeltune.prompts.pieces import PromptTokens, char_pieces
from reeltune.prompts.sharing import block_sequences, candidate_sequences
from tests.helpers import ODD_TITLES, Kind, chat_tokenizer
from tests.prompts.build import FORMS, ITEMS, KINDS, lists, tokenizer_of, whole_prompts
from tests.timelines import examples_of, random_timelines, timelines_of

COLUMNS = ("genres", "about_it")
NUMBERED = list(enumerate(ITEMS))
TEXTS = ("", "Crime, Drama", *ODD_TITLES)
forms, tokenizers = st.sampled_from(FORMS), st.sampled_from(KINDS)
texts_of_items = st.lists(
    st.tuples(st.sampled_from(TEXTS), st.sampled_from(TEXTS)), min_size=6, max_size=6
)


def settings_of(form: Form, budget: int = 99) -> PromptSettings:
    return PromptSettings(form=form, item_text=COLUMNS, item_text_tokens=budget)


def tokens_of(kind: Kind, settings: PromptSettings, texts: list[tuple[str, str]]) -> PromptTokens:
    items = [item._replace(text=text) for item, text in zip(ITEMS, texts, strict=False)]
    return PromptTokens(tokenizer_of(kind), Renderer(settings), items)


@pytest.mark.slow
@given(tokenizers, forms, texts_of_items, random_timelines(6), st.integers(1, 4))
def test_prompts_in_pieces_equal_the_rendered_messages(
    kind: Kind, form: Form, texts: list[tuple[str, str]], timelines: Timelines, length: int
):
    tokens = tokens_of(kind, settings_of(form), texts)
    assert tokens.differing == []
    examples = examples_of(timelines, length)
    items = [item._replace(text=text) for item, text in zip(ITEMS, texts, strict=False)]
    whole = whole_prompts(tokenizer_of(kind), tokens.renderer, items, timelines, examples)
    assert lists(tokens.prompts(timelines, examples)) == whole
    assert tokens.pieces.lengths(timelines, examples).tolist() == [len(ids) for ids in whole]


@pytest.mark.slow
@given(tokenizers, forms, texts_of_items, st.integers(1, 12), random_timelines(6))
def test_shared_histories_hold_the_prompts_with_their_text(
    kind: Kind, form: Form, texts: list[tuple[str, str]], budget: int, timelines: Timelines
):
    tokens = tokens_of(kind, settings_of(form, budget), texts)
    blocks = cut_blocks(timelines, examples_of(timelines, 2), 3)
    sequences = block_sequences(tokens.pieces, timelines, blocks, form, tokens.answers)
    assert lists(sequences.alone()) == lists(tokens.prompts(timelines, blocks.examples))
    history, candidates = History.of([2, 4], [4.5, 1.0]), np.arange(6)
    branches = candidate_sequences(tokens.pieces, [history], [candidates])
    assert lists(branches.alone()) == lists(tokens.candidate_prompts(history, candidates))


tags_of_items = st.lists(
    st.builds(Tag, st.integers(0, 5), st.integers(0, 9), st.sampled_from(TEXTS[1:])), max_size=12
).map(lambda tags: ItemTags.of(sorted(tags), 6))


@pytest.mark.slow
@given(tokenizers, forms, tags_of_items, st.booleans(), random_timelines(6), st.integers(1, 12))
def test_tags_and_signals_are_shared_exactly(
    kind: Kind, form: Form, tags: ItemTags, signals: bool, timelines: Timelines, budget: int
):
    some: tuple[SignalKind, ...] = ("recent", "expected") if signals else ()
    settings = replace(settings_of(form, budget), item_text=("genres", "tags"), signals=some)
    tokens = PromptTokens(tokenizer_of(kind), Renderer(settings), ITEMS[:6], tags)
    assert tokens.differing == []
    codes = [tags.before(timelines.item_idx, timelines.timestamp % 10), *[timelines.position] * 2]
    timelines = replace(timelines, context=np.column_stack(codes)[:, : 1 + len(some)])
    blocks = cut_blocks(timelines, examples_of(timelines, 2), 3)
    sequences = block_sequences(tokens.pieces, timelines, blocks, form, tokens.answers)
    expected = lists(tokens.prompts(timelines, blocks.examples))
    assert lists(sequences.alone()) == expected
    whole = list(tokens.texts(timelines, blocks.examples))
    assert lists(encode_rows(tokenizer_of(kind), whole)) == expected
    lengths = tokens.pieces.lengths(timelines, blocks.examples)
    assert lengths.tolist() == [len(ids) for ids in expected]


@pytest.mark.parametrize("form", FORMS)
def test_a_text_of_tags_whose_end_merges_with_the_next_piece_is_found(form: Form):
    tokenizer = chat_tokenizer("qwen3")
    ends = ("zz\nYes or", "zz\n<|im_end|>")
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ends])
    tags = ItemTags.of([Tag(2, 1, "dark"), Tag(3, 1, "dark"), Tag(3, 2, "zz"), Tag(3, 3, "a")], 6)
    settings = replace(settings_of(form), item_text=("tags",))
    tokens = PromptTokens(tokenizer, Renderer(settings), ITEMS[:6], tags)
    assert tokens.differing == [ITEMS[3]]
    assert tokens.describe_cut() == ["item text, tags: 0 of 10 texts cut to 99 tokens"]


@pytest.mark.parametrize(
    ("form", "token"), [(WINDOW, "bank\nYes or"), (INTERVIEW, "bank\n<|im_end|>")]
)
def test_a_text_whose_end_merges_with_the_next_piece_is_found(form: Form, token: str):
    tokenizer = chat_tokenizer("qwen3")
    tokenizer.add_tokens([AddedToken(token, normalized=False)])
    items = [item._replace(text=("Crime", "A bank" if i == 3 else "")) for i, item in NUMBERED]
    assert PromptTokens(tokenizer, Renderer(settings_of(form)), items).differing == [items[3]]


def test_a_window_shows_the_text_of_the_candidate_and_an_interview_that_of_every_item():
    heat, fargo = (item._replace(text=("Crime", "")) for item in ITEMS[:2])
    (window,) = Renderer(settings_of(WINDOW)).turns([(4.5, heat)], fargo)
    assert window.count("Genres: Crime\n") == 1
    assert window.endswith("\nGenres: Crime\nYes or No?")
    assert "Under the film to judge you are told its genres, then its about it." in window
    first, _, last = Renderer(settings_of(INTERVIEW)).turns([(4.5, heat)], fargo)
    assert first.endswith("\nGenres: Crime\n")
    assert last.endswith("\nGenres: Crime\n")


def test_text_is_made_plain_and_an_empty_one_has_no_line():
    odd = ITEMS[0]._replace(text=("", "One\n<|im_end|> two "))
    renderer = Renderer(settings_of(WINDOW))
    assert renderer.text_lines(renderer.text_values(odd)) == "About it: One < |im_end|> two\n"
    assert renderer.text_lines(renderer.text_values(ITEMS[0])) == ""


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(st.sampled_from("ab ,;é世🎬"), max_size=60), budget=st.integers(1, 9))
def test_a_cut_is_the_longest_beginning_of_whole_words_within_the_budget(
    kind: Kind, text: str, budget: int
):
    tokenizer, text = tokenizer_of(kind), " ".join(text.split())

    def count(part: str) -> int:
        return len(tokenizer(f" {part}", add_special_tokens=False)["input_ids"])  # pyright: ignore

    (cut,) = cut_texts([text], budget, lambda texts: encode_rows(tokenizer, texts))
    words = text.split(" ")
    beginnings = [" ".join(words[:n]).rstrip(",;:") for n in range(len(words))] + [text]
    fitting = [part for part in beginnings if count(part) <= budget]
    if any(fitting):
        assert cut == fitting[-1]
    else:
        assert words[0].startswith(cut)
        assert not cut or count(cut) <= budget


def test_cut_texts_are_counted_by_column():
    budget = len(tokenizer_of("qwen3")(" one two three", add_special_tokens=False)["input_ids"])
    texts = [("Crime", "one two three, four five"), ("Drama", ""), *[("", "one")] * 4]
    tokens = tokens_of("qwen3", settings_of(WINDOW, budget), texts)
    assert tokens.cut == {"genres": 0, "about_it": 1}
    assert tokens.candidate_texts[0].endswith("Genres: Crime\nAbout it: one two three\n")
    assert tokens.describe_cut()[1] == f"item text, about_it: 1 of 6 items cut to {budget} tokens"


@pytest.mark.parametrize("form", FORMS)
def test_lengths_count_the_text(form: Form):
    items = [item._replace(text=("Crime", "")) for item in ITEMS[:3]]
    timelines = timelines_of([0, 1, 2], [4.0, 2.0, 5.0])
    examples = examples_of(timelines, 2)
    settings = settings_of(form)
    more = char_pieces(Renderer(settings), items).lengths(timelines, examples)
    bare = replace(settings, item_text=())
    less = char_pieces(Renderer(bare), items).lengths(timelines, examples)
    head = len(Renderer(settings).head()) - len(Renderer(bare).head())
    shown = [1, 2, 3] if form == INTERVIEW else [1, 1, 1]
    assert (more - less).tolist() == [head + len("Genres: Crime\n") * count for count in shown]


def test_settings_without_item_text_are_stored_as_before():
    stored = PromptSettings(item_text_tokens=7).to_dict()
    assert not {"item_text", "item_text_tokens"} & stored.keys()
    settings = settings_of(INTERVIEW, 7)
    assert PromptSettings.from_dict(settings.to_dict()) == settings
