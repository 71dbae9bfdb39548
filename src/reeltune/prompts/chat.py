"""What a model's chat template puts around the user's words, and the tokens of the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reeltune.errors import ModelError
from reeltune.prompts.renderer import NO, YES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Templates may strip a message, so the probes begin and end with letters.
_PROBES: Final = ("Probe one.", "Another probe: 2\nwith two lines")


@dataclass(frozen=True)
class ChatFrame:
    """The text around one user turn.

    Attributes:
        before: From the start of the prompt to the user's first word.
        after: From the user's last word to where the answer begins, with thinking switched off.
        end: What the template sets after an answer.
    """

    before: str
    after: str
    end: str

    def wrap(self, user_text: str) -> str:
        """Return the whole prompt, up to where the answer begins."""
        return f"{self.before}{user_text}{self.after}"


@dataclass(frozen=True)
class AnswerTokens:
    """Token ids of the two answers and of the token that ends the turn."""

    yes: int
    no: int
    end: int

    def of(self, liked: bool) -> int:
        """Return the id of the word for a label."""
        return self.yes if liked else self.no


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the ids of a text exactly as it stands: nothing is added before or after it."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportReturnType]


def chat_frame(tokenizer: PreTrainedTokenizerBase) -> ChatFrame:
    """Read the frame out of the tokenizer's chat template.

    Raises:
        ModelError: There is no template, or what it sets around a turn depends on the words.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            "the tokenizer has no chat template",
            where=str(tokenizer.name_or_path),
            mend="Use the model's instruct or chat version",
        )
    frames = {_frame_of(tokenizer, probe) for probe in _PROBES}
    if len(frames) != 1:
        raise ModelError(
            "the chat template changes with the words of the message",
            where=str(tokenizer.name_or_path),
        )
    return frames.pop()


def _frame_of(tokenizer: PreTrainedTokenizerBase, probe: str) -> ChatFrame:
    asked = [{"role": "user", "content": probe}]
    prompt = _render(tokenizer, asked, generation_prompt=True)
    before, found, after = prompt.partition(probe)
    if not found:
        raise ModelError(
            "the chat template does not show the user's words unchanged",
            where=str(tokenizer.name_or_path),
        )
    answered = _render(
        tokenizer, [*asked, {"role": "assistant", "content": YES}], generation_prompt=False
    )
    # A template that writes past answers differently still ends a turn with the end token.
    begun = prompt + YES
    end = answered[len(begun) :] if answered.startswith(begun) else str(tokenizer.eos_token or "")
    return ChatFrame(before, after, end)


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], generation_prompt: bool
) -> str:
    # Templates without a thinking switch ignore the flag.
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=generation_prompt, enable_thinking=False
    )
    return str(text)


def answer_tokens(tokenizer: PreTrainedTokenizerBase, frame: ChatFrame) -> AnswerTokens:
    """Return the ids of both answers, proving that each is one token where the answer stands.

    Raises:
        ModelError: An answer takes several tokens, or merges with what stands before it.
    """
    prompt = encode(tokenizer, frame.wrap(_PROBES[0]))
    end = encode(tokenizer, frame.end)
    if not end:
        raise ModelError("the chat template does not end a turn", where=str(tokenizer.name_or_path))
    found = []
    for word in (YES, NO):
        whole = encode(tokenizer, frame.wrap(_PROBES[0]) + word)
        if whole[:-1] != prompt or whole[-1] == tokenizer.unk_token_id:
            raise ModelError(
                f"the answer {word!r} is not a single token of its own",
                where=str(tokenizer.name_or_path),
                mend="Use a model whose tokenizer keeps Yes and No whole",
            )
        found.append(whole[-1])
    return AnswerTokens(yes=found[0], no=found[1], end=end[0])
