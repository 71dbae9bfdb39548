"""Small stand-ins that several tests share: tokenizers, models and prepared folders.

Everything is made in the test from a seed; nothing is downloaded. transformers and torch are loaded
by the builders that need them, so that tests of other parts start at once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split
from tokenizers.trainers import BpeTrainer

from tests.prepared_data import ODD_TITLES, make_items, write_prepared

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "CONTROL_TOKENS",
    "ITEM_TEXT",
    "ODD_TITLES",
    "THINK_TOKENS",
    "Kind",
    "chat_tokenizer",
    "make_items",
    "small_baselines",
    "tiny_model",
    "tiny_tokenizer",
    "until",
    "write_prepared",
]

Kind = Literal["qwen3", "llama"]


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true, which another thread or process makes true."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("the condition is still false")


CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
THINK_TOKENS = ("<think>", "</think>")

# How Qwen3 cuts text before merging.
_QWEN3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# As Qwen3's template: thinking is switched off by an empty think block in the generation prompt,
# and the last answer of a conversation is shown after one.
_QWEN3_TEMPLATE = r"""
{%- set empty_thought = '<think>\n\n</think>\n\n' -%}
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\n' -}}
    {%- if message.role == 'assistant' and loop.last -%}{{- empty_thought -}}{%- endif -%}
    {{- message.content + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\n' -}}
    {%- if enable_thinking is defined and not enable_thinking -%}{{- empty_thought -}}{%- endif -%}
{%- endif -%}
"""
# As SmolLM2's template: no thinking, and a system turn of its own where none is given.
_LLAMA_TEMPLATE = r"""
{%- if messages[0].role != 'system' -%}
    {{- '<|im_start|>system\nYou know films.<|im_end|>\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""
ITEM_TEXT = (
    "Predict whether a user will like a film. Users rate films from 0.5 to 5.0 stars; liking a "
    "film means rating it 4.0 or higher.\nFilms this user has rated, oldest first:\n"
    "4.5: The Night of the Lost Summer (1995)\n3.0: A Winter in Paris (2003) [Drama, Romance]\n"
    "5.0: Return of the Star, The (1977)\nFilm to judge: Love and Other Stories (2010)\n"
    "Will the user like it? Answer Yes or No.",
    "Yes",
    "No",
)


def chat_tokenizer(
    kind: Kind = "qwen3", text: tuple[str, ...] = ITEM_TEXT
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE chat tokenizer of 400 tokens.

    Args:
        kind: ``qwen3``: Qwen3's way of cutting text, think tokens, thinking switched off in the
            template; ``llama``: SmolLM2's way, no thinking, a system turn by default.
        text: What it is trained on; Yes and No are one token each where they stand in it alone.
    """
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(BPE())
    if kind == "qwen3":
        raw.normalizer = NFC()
        words = Split(Regex(_QWEN3_WORDS), behavior="isolated")
        raw.pre_tokenizer = Sequence([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        digits = Digits(individual_digits=True)
        raw.pre_tokenizer = Sequence([digits, ByteLevel(add_prefix_space=False, use_regex=True)])
    raw.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=400,
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(text * 20, trainer)
    if kind == "qwen3":
        raw.add_tokens([AddedToken(token, normalized=False) for token in THINK_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=_QWEN3_TEMPLATE if kind == "qwen3" else _LLAMA_TEMPLATE,
        model_max_length=8192,
    )


def tiny_tokenizer(folder: Path, kind: Kind = "qwen3") -> Path:
    """Save :func:`chat_tokenizer` so that ``AutoTokenizer`` loads it from the folder."""
    chat_tokenizer(kind).save_pretrained(folder)
    return folder


def tiny_model(folder: Path, kind: Kind = "qwen3", head_dim: int = 8) -> Path:
    """Save a random causal language model with its tokenizer: float32, two layers, 32 wide.

    Args:
        folder: Where to.
        kind: As in :func:`chat_tokenizer`.
        head_dim: Size of an attention head; FlexAttention's kernels need at least 16.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    tokenizer = chat_tokenizer(kind)
    tokenizer.save_pretrained(folder)
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": head_dim,
        "intermediate_size": 64,
        "vocab_size": -(-len(tokenizer) // 64) * 64,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = (
            Qwen3ForCausalLM(Qwen3Config(**shape))
            if kind == "qwen3"
            else LlamaForCausalLM(LlamaConfig(**shape))
        )
    model.to(torch.float32).save_pretrained(folder)  # pyright: ignore[reportArgumentType]
    return folder


@contextlib.contextmanager
def small_baselines() -> Iterator[None]:
    """Fit baselines with fewer rounds and epochs inside the block."""
    from reeltune.baselines import learned, sequence_network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned, "ROUNDS", 12)
        patch.setattr(learned, "LEAVES", (4, 8))
        patch.setattr(learned, "LEAST_ROWS", (5,))
        patch.setattr(sequence_network, "EPOCHS", 2)
        yield
