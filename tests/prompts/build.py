"""Tokenizers, prompts and reference implementations for the tests of prompts."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AddedToken, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import Codes, Examples, Timelines
from reeltune.domain import INTERVIEW, WINDOW, Form, Item, PromptSettings, Renderer
from reeltune.prompts.pieces import PromptTokens
from reeltune.ragged import Ragged
from tests.helpers import Kind, chat_tokenizer, make_items

KINDS: tuple[Kind, ...] = ("qwen3", "llama")
FORMS: tuple[Form, ...] = (WINDOW, INTERVIEW)
ITEMS = make_items(20)
"""Films with unusual titles."""

tokenizer_of = cache(chat_tokenizer)


@cache
def tokens_of(kind: Kind, form: Form) -> PromptTokens:
    """Tokens of prompts over :data:`ITEMS`."""
    return PromptTokens(tokenizer_of(kind), Renderer(PromptSettings(form=form)), ITEMS)


def prompt_tokens(
    folder: PreparedFolder, settings: PromptSettings, tokenizer: PreTrainedTokenizerBase
) -> PromptTokens:
    """Tokens of prompts over the items of prepared data."""
    return PromptTokens(tokenizer, Renderer(settings), folder.items)


def turns_of(
    renderer: Renderer, items: list[Item], timelines: Timelines, start: int, target: int
) -> list[str]:
    """The rendered messages of one example."""
    history = [
        (float(timelines.rating[event]), items[timelines.item_idx[event]])
        for event in range(start, target)
    ]
    context = context_texts(renderer, timelines.context_of(np.arange(start, target + 1)))
    return renderer.turns(history, items[timelines.item_idx[target]], context)


def context_texts(renderer: Renderer, codes: Codes | None) -> list[str]:
    """The context lines of each row of codes, as text."""
    lines = [kind.lines for kind in renderer.settings.context]
    rows = [] if codes is None else codes.tolist()
    return ["".join(texts[code] for texts, code in zip(lines, row, strict=True)) for row in rows]


def whole_prompts(
    tokenizer: PreTrainedTokenizerBase,
    renderer: Renderer,
    items: list[Item],
    timelines: Timelines,
    examples: Examples,
) -> list[list[int]]:
    """Every prompt rendered as one chat by the template itself, then tokenized whole."""
    if not len(examples):
        return []
    chats = []
    for start, target in zip(examples.start.tolist(), examples.target.tolist(), strict=True):
        turns = turns_of(renderer, items, timelines, start, target)
        roles = ("user", "assistant")
        chats.append([{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)])
    # An interview leaves the thinking switch as the template has it.
    switches: dict[str, Any] = (
        {"enable_thinking": False} if renderer.settings.form == WINDOW else {}
    )
    whole = tokenizer.apply_chat_template(
        chats, tokenize=False, add_generation_prompt=True, **switches
    )
    texts = [str(text) for text in whole]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportReturnType]


def lists(ragged: Ragged) -> list[list[int]]:
    """The rows as Python lists."""
    return [row.tolist() for row in ragged]


def prefixing_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that adds a space before every text, so that pieces differ from whole prompts."""
    tokenizer = chat_tokenizer("llama")
    tokenizer.backend_tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    return tokenizer


def merging_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with tokens that span a film's year and the text after it, in each form."""
    tokenizer = chat_tokenizer("llama")
    over = [AddedToken(text, normalized=False) for text in (")\nFilm", ")\n<|im_end|>")]
    tokenizer.add_tokens(over)
    return tokenizer
