"""The SmolLM2 tokenizer, built from the vocabulary in a GGUF file.

transformers 5.17's converter omits the pre-tokenizer that splits digits, so years and ratings would
become other tokens than in pre-training, and pads with the end-of-turn token.
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
_FAMILY: Final = ("gpt2", "smollm")


def read_metadata(gguf: Path) -> dict[str, Any]:
    """Return the key-value part of a GGUF file.

    Raises:
        ModelError: It is not a GGUF file.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(gguf)
    except ValueError as error:
        raise ModelError(
            f"is not a readable GGUF file ({error})", code="not_a_gguf_file", where=str(gguf)
        ) from error
    return {key: field.contents() for key, field in reader.fields.items()}


def build_tokenizer(metadata: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Build the SmolLM2 tokenizer, chat template included, from GGUF metadata.

    Padding is ``<|endoftext|>``, so masked padding never includes the end of an answer.

    Raises:
        ModelError: The file's tokenizer is of another family, or has no chat template.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    family = (metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre"))
    vocabulary: list[str] = metadata["tokenizer.ggml.tokens"]
    types: list[int] = metadata["tokenizer.ggml.token_type"]
    control = [word for word, kind in zip(vocabulary, types, strict=True) if kind == _CONTROL_TYPE]
    missing = sorted({TURN_START, TURN_END, PADDING} - set(control))
    template = metadata.get("tokenizer.chat_template")
    if family != _FAMILY or missing or template is None:
        raise ModelError(
            f"not SmolLM2's tokenizer: family {family} instead of {_FAMILY}, control tokens "
            f"missing: {missing}, chat template: {template is not None}",
            code="unsupported_gguf_tokenizer",
        )
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    core = Tokenizer(models.BPE({word: i for i, word in enumerate(vocabulary)}, merges))
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
    tokenizer.chat_template = template
    return tokenizer


def check_tokenizer(folder: Path, metadata: dict[str, Any]) -> None:
    """Reload a saved tokenizer and compare it with the GGUF file.

    Raises:
        ModelError: Token ids, digits, special tokens, the chat template or a round trip differ.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    vocabulary: list[str] = metadata["tokenizer.ggml.tokens"]
    text = 'Toy Story (1995)\n4.5: Amélie, "Fabuleux"\n'
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    special = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token)
    checks = {
        "vocabulary": tokenizer.convert_ids_to_tokens(range(len(vocabulary))) == vocabulary,
        "digits": len(tokenizer("1995")["input_ids"]) == 4,
        "round trip": tokenizer.decode(tokenizer(text)["input_ids"]) == text,
        "special tokens": special == (TURN_START, TURN_END, PADDING),
        "chat template": chat.endswith(f"{text}{TURN_END}\n{TURN_START}assistant\n"),
    }
    if failed := [name for name, holds in checks.items() if not holds]:
        raise ModelError(
            f"the tokenizer changed in the conversion: {', '.join(failed)}",
            code="converted_tokenizer_differs",
            where=str(folder),
        )
