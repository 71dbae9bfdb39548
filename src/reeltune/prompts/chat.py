"""What a chat template writes around messages, and the tokens of the answers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from reeltune.domain import INTERVIEW, NO, WINDOW, YES, Form
from reeltune.errors import ModelError
from reeltune.prompts.encoding import control_tokens, encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Templates may strip a message, so the probes begin and end with letters.
_PROBES: Final = ("Probe one.", "Another probe: 2\nwith two lines")

TEMPLATE_DATE: Final = date(2024, 7, 26)
"""The date that chat templates write, every day; Llama 3.x writes it if there is no clock."""

_DATE_FORMATS: Final = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y"),
    *("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y"),
)

_SAMPLE: Final = "4.5: Amélie (2001)\n½ 七人の侍, Don't; The 1,234th [Film] #7|Comedy"
"""Text whose token ids are part of :func:`tokens_digest`."""

_Render = Callable[..., str]


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

    @property
    def digest(self) -> str:
        """The SHA-256 of the text around messages."""
        return _sha256(astuple(self))

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


def chat_frame(
    tokenizer: PreTrainedTokenizerBase, form: Form = WINDOW, day: date = TEMPLATE_DATE
) -> ChatFrame:
    """Read the frame from the tokenizer's chat template, as written on a given day.

    A window switches thinking off: Qwen3 writes an empty think block before the answer. An
    interview leaves the switch alone: Qwen3 then writes all answers without a think block, so a
    conversation grows at its end only.

    Raises:
        ModelError: There is no template, or the frame depends on the messages or, in an interview,
            on their positions, or has the current date whatever date it is given.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            "the tokenizer has no chat template",
            code="no_chat_template",
            where=str(tokenizer.name_or_path),
            hint="Use the model's instruct or chat version",
        )
    render = partial(_render, tokenizer, **date_arguments(day))
    if form == INTERVIEW:
        frames = {_interview_frame(tokenizer, render, probe) for probe in _PROBES}
    else:
        frames = {_window_frame(tokenizer, render, probe) for probe in _PROBES}
    if len(frames) != 1:
        raise ModelError(
            "the text around a message depends on the message",
            code="template_depends_on_text",
            where=str(tokenizer.name_or_path),
        )
    frame = frames.pop()
    _refuse_current_date(tokenizer, frame)
    return frame


def date_arguments(day: date = TEMPLATE_DATE) -> dict[str, Any]:
    """Return the arguments that give chat templates their date.

    ``strftime_now`` replaces transformers' function of that name, which reads the clock; Llama 3.x
    takes ``date_string``.
    """
    return {"strftime_now": day.strftime, "date_string": day.strftime("%d %b %Y")}


def writes_date(tokenizer: PreTrainedTokenizerBase, form: Form) -> bool:
    """Return whether the frame of a form contains a date."""
    other = date(2001, 12, 3)
    return chat_frame(tokenizer, form, other) != chat_frame(tokenizer, form)


def _refuse_current_date(tokenizer: PreTrainedTokenizerBase, frame: ChatFrame) -> None:
    text = "\n".join(astuple(frame))
    # The frame may have been rendered just before midnight, or in another time zone.
    for day in (date.today() + timedelta(days) for days in (-1, 0, 1)):
        for written in _written(day):
            if re.search(rf"(?<!\d){re.escape(written)}(?!\d)", text):
                raise ModelError(
                    f"the chat template writes the current date ({written}) in a way that cannot "
                    "be fixed, so that prompts would change from day to day",
                    code="template_date_not_fixed",
                    where=str(tokenizer.name_or_path),
                    hint="Let the template take its date from strftime_now or date_string, or "
                    "remove it",
                )


def _written(day: date) -> Iterator[str]:
    """Yield a date in common formats, with and without leading zeros."""
    for template in _DATE_FORMATS:
        yield day.strftime(template)
        yield re.sub(r"\b0(?=\d)", "", day.strftime(template))


def tokens_digest(tokenizer: PreTrainedTokenizerBase, frame: ChatFrame) -> str:
    """Return a SHA-256 of what a tokenizer makes of prompts.

    It covers the ids of a sample prompt with both answers and the tokens that titles may not
    contain. Library versions that tokenize alike give the same digest.
    """
    prompt = frame.wrap(_SAMPLE, YES, _SAMPLE) if frame.next_turn else frame.wrap(_SAMPLE)
    ids = [encode(tokenizer, prompt + answer + frame.end) for answer in (YES, NO)]
    return _sha256([ids, sorted(control_tokens(tokenizer))])


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


def _window_frame(tokenizer: PreTrainedTokenizerBase, render: _Render, probe: str) -> ChatFrame:
    # Templates without a thinking switch ignore the flag.
    prompt = render([probe], enable_thinking=False)
    before, separator, after = prompt.partition(probe)
    if not separator:
        raise ModelError(
            "the chat template changes the text of a message",
            code="template_changes_text",
            where=str(tokenizer.name_or_path),
        )
    answered = render([probe, YES], enable_thinking=False)
    # A template that writes past answers differently still ends messages with the end token.
    begun = prompt + YES
    end = answered[len(begun) :] if answered.startswith(begun) else str(tokenizer.eos_token or "")
    return ChatFrame(before, after, end)


def _interview_frame(tokenizer: PreTrainedTokenizerBase, render: _Render, probe: str) -> ChatFrame:
    # Items end with a line break, which a template that strips messages would lose.
    first, second, third = (f"{text}\n" for text in (probe, *_PROBES))
    turns = [first, YES, second, NO, third]
    prompt = render(turns[:1])
    before, _, after = prompt.partition(first)
    longer = render(turns[:3])
    next_turn = longer.removeprefix(prompt + YES).partition(second)[0]
    frame = ChatFrame(before, after, next_turn, next_turn)
    if frame.wrap(*turns) != render(turns):
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
