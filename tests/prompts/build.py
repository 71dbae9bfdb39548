"""What tests of prompts are built from."""

from __future__ import annotations

import numpy as np
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from reeltune.data.folder import Examples, Timelines
from reeltune.prompts.renderer import Film, Renderer
from tests.helpers import chat_tokenizer


def timelines_of(film_row: list[int], stars: list[float]) -> Timelines:
    """One user's events; only films and stars matter to a prompt."""
    count = len(film_row)
    return Timelines(
        user_id=np.ones(count, dtype=np.int64),
        position=np.arange(count, dtype=np.int32),
        film_row=np.array(film_row, dtype=np.int32),
        stars=np.array(stars, dtype=np.float32),
        timestamp=np.arange(count, dtype=np.int64),
        liked=np.array(stars) >= 4.0,
        split=np.full(count, "train"),
    )


def whole_prompts(
    tokenizer: PreTrainedTokenizerBase,
    renderer: Renderer,
    films: list[Film],
    timelines: Timelines,
    examples: Examples,
) -> list[list[int]]:
    """Every prompt rendered as one chat by the template itself, then tokenized whole."""
    if not len(examples):
        return []
    chats = []
    for start, target in zip(examples.start, examples.target, strict=True):
        events = [
            (float(timelines.stars[e]), films[timelines.film_row[e]]) for e in range(start, target)
        ]
        text = renderer.user_text(events, films[timelines.film_row[target]])
        chats.append([{"role": "user", "content": text}])
    whole = tokenizer.apply_chat_template(
        chats, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    texts = [str(text) for text in whole]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportReturnType]


def prefixing_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that sets a space before every text it is given, so that pieces do not add up."""
    tokenizer = chat_tokenizer("llama")
    tokenizer.backend_tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    return tokenizer
