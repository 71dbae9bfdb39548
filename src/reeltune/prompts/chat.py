"""What a chat template writes around messages, and the tokens of the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reeltune.domain import INTERVIEW, NO, WINDOW, YES, Form
from reeltune.errors import ModelError
from reeltune.prompts.encoding import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Templates may strip a message, so the probes begin and end with letters.
_PROBES: Final = ("Probe one.", "Another probe: 2\nwith two lines")


@dataclass(frozen=True)
class ChatFrame:
    """The text around the messages of a conversation.

    Attributes:
        before: From the start of the prompt to the first user message.
        after: From the end of a user message to where the answer begins.
        end: What follows an answer.
        next_turn: From the end of an answer to the next user message; empty in a window.
    """

    before: str
    after: str
    end: str
    next_turn: str = ""

    def wrap(self, *turns: str) -> str:
        """Return the prompt of alternating messages, user first and last, up to the answer."""
        parts = [self.before]
        for i, turn in enumerate(turns):
            parts += [turn, self.next_turn if i % 2 else self.after]
        return "".join(parts)


@dataclass(frozen=True)
class AnswerTokens:
    """Token ids of the two answers and of the end of a message."""

    yes: int
    no: int
    end: int

    def of(self, liked: bool) -> int:
        """Return the id of a label's answer."""
        return self.yes if liked else self.no


def chat_frame(tokenizer: PreTrainedTokenizerBase, form: Form = WINDOW) -> ChatFrame:
    """Read the frame from the tokenizer's chat template.

    A window switches thinking off: Qwen3 writes an empty think block before the answer. An
    interview leaves the switch alone: Qwen3 then writes all answers without a think block, so a
    conversation grows at its end only.

    Raises:
        ModelError: There is no template, or the frame depends on the messages or, in an interview,
            on their positions.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            "the tokenizer has no chat template",
            code="no_chat_template",
            where=str(tokenizer.name_or_path),
            hint="Use the model's instruct or chat version",
        )
    read = _interview_frame if form == INTERVIEW else _window_frame
    frames = {read(tokenizer, probe) for probe in _PROBES}
    if len(frames) != 1:
        raise ModelError(
            "the text around a message depends on the message",
            code="template_depends_on_text",
            where=str(tokenizer.name_or_path),
        )
    return frames.pop()


def _window_frame(tokenizer: PreTrainedTokenizerBase, probe: str) -> ChatFrame:
    # Templates without a thinking switch ignore the flag.
    prompt = _render(tokenizer, [probe], enable_thinking=False)
    before, separator, after = prompt.partition(probe)
    if not separator:
        raise ModelError(
            "the chat template changes the text of a message",
            code="template_changes_text",
            where=str(tokenizer.name_or_path),
        )
    answered = _render(tokenizer, [probe, YES], enable_thinking=False)
    # A template that writes past answers differently still ends messages with the end token.
    begun = prompt + YES
    end = answered[len(begun) :] if answered.startswith(begun) else str(tokenizer.eos_token or "")
    return ChatFrame(before, after, end)


def _interview_frame(tokenizer: PreTrainedTokenizerBase, probe: str) -> ChatFrame:
    # Items end with a line break, which a template that strips messages would lose.
    first, second, third = (f"{text}\n" for text in (probe, *_PROBES))
    turns = [first, YES, second, NO, third]
    prompt = _render(tokenizer, turns[:1])
    before, _, after = prompt.partition(first)
    longer = _render(tokenizer, turns[:3])
    next_turn = longer.removeprefix(prompt + YES).partition(second)[0]
    frame = ChatFrame(before, after, next_turn, next_turn)
    if frame.wrap(*turns) != _render(tokenizer, turns):
        raise ModelError(
            "the chat template rewrites earlier messages when a conversation grows",
            code="template_not_append_only",
            where=str(tokenizer.name_or_path),
            hint=f"Set prompt.form to {WINDOW}",
        )
    return frame


def _render(tokenizer: PreTrainedTokenizerBase, turns: list[str], **switches: Any) -> str:
    """Return a conversation as the template writes it, up to an answer if the user is last."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=len(turns) % 2 == 1, **switches
    )
    return str(text)


def answer_tokens(tokenizer: PreTrainedTokenizerBase, frame: ChatFrame) -> AnswerTokens:
    """Return the ids of both answers, after checking that each is one token after a prompt.

    Raises:
        ModelError: An answer is several tokens, or merges with the text before or after it.
    """
    prompt = encode(tokenizer, frame.wrap(_PROBES[0]))
    end = encode(tokenizer, frame.end)
    if not end:
        raise ModelError(
            "the chat template does not end a message",
            code="template_without_end",
            where=str(tokenizer.name_or_path),
        )
    ids = []
    for word in (YES, NO):
        answered = frame.wrap(_PROBES[0]) + word
        whole, ended = (encode(tokenizer, text) for text in (answered, answered + frame.end))
        single = whole[:-1] == prompt and whole[-1] != tokenizer.unk_token_id
        if not single or ended[: len(whole)] != whole:
            raise ModelError(
                f"the answer {word!r} is not a single token",
                code="answer_not_one_token",
                where=str(tokenizer.name_or_path),
                hint="Use a model whose tokenizer keeps Yes and No whole",
            )
        ids.append(whole[-1])
    return AnswerTokens(yes=ids[0], no=ids[1], end=end[0])
