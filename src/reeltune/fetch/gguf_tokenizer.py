"""A Hugging Face tokenizer from the vocabulary stored in a GGUF file.

It is built here, because the general converter of transformers 5.17 leaves out the pre-tokenizer
that splits digits one by one and takes the end-of-turn token for padding: years and stars would be
other tokens than the model was trained on, without any error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reeltune.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TURN_START: Final = "<|im_start|>"
TURN_END: Final = "<|im_end|>"
PADDING: Final = "<|endoftext|>"

_CONTROL_TYPE: Final = 3
_MODEL: Final = "gpt2"
_PRE_TOKENIZER: Final = "smollm"


def read_metadata(gguf: Path) -> dict[str, Any]:
    """Return the key-value part of a GGUF file.

    Raises:
        ModelError: It is not a GGUF file.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(gguf)
    except ValueError as error:
        raise ModelError(f"is not a readable GGUF file ({error})", where=str(gguf)) from error
    return {key: field.contents() for key, field in reader.fields.items()}


def build_tokenizer(metadata: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Build the SmolLM2 tokenizer, chat template included, from GGUF metadata.

    A turn ends with ``<|im_end|>`` (end of sequence); padding is ``<|endoftext|>``, another token,
    so that masking the padding in training never hides the end of an answer.

    Raises:
        ModelError: The file's tokenizer is of another family, or has no chat template.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    kind = (metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre"))
    if kind != (_MODEL, _PRE_TOKENIZER):
        raise ModelError(f"tokenizer is {kind}, expected {(_MODEL, _PRE_TOKENIZER)}")
    if "tokenizer.chat_template" not in metadata:
        raise ModelError("the GGUF file carries no chat template")
    words: list[str] = metadata["tokenizer.ggml.tokens"]
    types: list[int] = metadata["tokenizer.ggml.token_type"]
    control = [word for word, kind in zip(words, types, strict=True) if kind == _CONTROL_TYPE]
    missing = {TURN_START, TURN_END, PADDING} - set(control)
    if missing:
        raise ModelError(f"the GGUF file lacks the control tokens {sorted(missing)}")
    merges = [_pair(merge) for merge in metadata["tokenizer.ggml.merges"]]
    core = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in control])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=TURN_START,
        eos_token=TURN_END,
        pad_token=PADDING,
        unk_token=PADDING,
        model_max_length=metadata["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = metadata["tokenizer.chat_template"]
    return tokenizer


def check_tokenizer(folder: Path, metadata: dict[str, Any]) -> None:
    """Load a saved tokenizer again and prove that nothing was lost on the way.

    Raises:
        ModelError: A token has another id, digits are merged, text does not survive, or the chat
            template does not open the assistant's turn.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    words: list[str] = metadata["tokenizer.ggml.tokens"]
    text = 'Toy Story (1995)\n4.5: Amélie, "Fabuleux"\n'
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    laws = {
        "token ids differ from the GGUF file": tokenizer.convert_ids_to_tokens(range(len(words)))
        == words,
        "the digits of 1995 are not four tokens": len(tokenizer("1995")["input_ids"]) == 4,
        "text does not survive encoding and decoding": tokenizer.decode(
            tokenizer(text)["input_ids"]
        )
        == text,
        "special tokens are not the intended ones": (
            (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token)
            == (TURN_START, TURN_END, PADDING)
        ),
        "the chat template does not open the assistant's turn": chat.endswith(
            f"{text}{TURN_END}\n{TURN_START}assistant\n"
        ),
    }
    broken = [name for name, holds in laws.items() if not holds]
    if broken:
        raise ModelError("; ".join(broken), where=str(folder))


def _pair(merge: str) -> tuple[str, str]:
    left, right = merge.split(" ")
    return left, right
