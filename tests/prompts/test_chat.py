from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AddedToken, AutoTokenizer, PreTrainedTokenizerFast

from reeltune.domain import INTERVIEW, Form
from reeltune.errors import ModelError
from reeltune.prompts.chat import (
    TEMPLATE_DATE,
    AnswerTokens,
    answer_tokens,
    chat_frame,
    tokens_digest,
    writes_date,
)
from reeltune.prompts.encoding import encode
from tests.errors import raises_error
from tests.helpers import ITEM_TEXT, Kind, chat_tokenizer, tiny_tokenizer
from tests.prompts.build import FORMS, KINDS, tokenizer_of

words = st.text(max_size=12)

NO_THOUGHT = "<think>\n\n</think>\n\n"
CHAT = (
    "{{% for message in messages %}}{{% set content = message.content %}}"
    "{{{{ message.role }}}}:{{{{ {content} }}}}|{{% endfor %}}"
    "{{% if add_generation_prompt %}}assistant:{{% endif %}}"
)
"""Messages in order; a format string for their content."""
PLAIN = "{{ messages[0].content }}{% if add_generation_prompt %}>{% endif %}"


def with_template(template: str | None) -> PreTrainedTokenizerFast:
    tokenizer = chat_tokenizer("llama")
    tokenizer.chat_template = template
    return tokenizer


def test_frame_with_thinking_switched_off():
    frame = chat_frame(chat_tokenizer("qwen3"))
    assert frame.before == "<|im_start|>user\n"
    assert frame.after == f"<|im_end|>\n<|im_start|>assistant\n{NO_THOUGHT}"
    assert frame.end == "<|im_end|>\n"


def test_frame_of_an_interview_leaves_thinking_as_the_template_has_it():
    frame = chat_frame(chat_tokenizer("qwen3"), INTERVIEW)
    assert frame.before == "<|im_start|>user\n"
    assert frame.after == "<|im_end|>\n<|im_start|>assistant\n"
    assert frame.next_turn == frame.end == "<|im_end|>\n<|im_start|>user\n"


def test_frame_with_a_system_message():
    frame = chat_frame(chat_tokenizer("llama"))
    assert frame.before == "<|im_start|>system\nYou know films.<|im_end|>\n<|im_start|>user\n"
    assert frame.after == "<|im_end|>\n<|im_start|>assistant\n"
    assert frame.end == "<|im_end|>\n"


def test_the_empty_think_block_requires_the_thinking_switch():
    tokenizer = chat_tokenizer("qwen3")
    messages = [{"role": "user", "content": "x"}]
    thinking = str(
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    )
    assert NO_THOUGHT not in thinking
    assert chat_frame(tokenizer).wrap("x") == thinking + NO_THOUGHT


@pytest.mark.parametrize("kind", KINDS)
def test_prompt_and_answer_are_the_whole_chat(kind: Kind):
    tokenizer = chat_tokenizer(kind)
    frame = chat_frame(tokenizer)
    chat = [{"role": "user", "content": "Is it good?"}, {"role": "assistant", "content": "No"}]
    whole = tokenizer.apply_chat_template(chat, tokenize=False, enable_thinking=False)
    assert frame.wrap("Is it good?") + "No" + frame.end == whole


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.tuples(words, st.sampled_from(["Yes", "No"])), max_size=4), words)
def test_an_interview_is_the_whole_conversation(
    kind: Kind, past: list[tuple[str, str]], question: str
):
    tokenizer = tokenizer_of(kind)
    turns = [turn for pair in past for turn in pair] + [question]
    roles = ("user", "assistant")
    chat = [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]
    whole = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert chat_frame(tokenizer, INTERVIEW).wrap(*turns) == whole


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_one_token_each_after_the_prompt(kind: Kind, form: Form):
    tokenizer = chat_tokenizer(kind)
    frame = chat_frame(tokenizer, form)
    answers = answer_tokens(tokenizer, frame)
    assert tokenizer.convert_ids_to_tokens([answers.yes, answers.no, answers.end]) == [
        "Yes",
        "No",
        "<|im_end|>",
    ]
    for liked, word in ((True, "Yes"), (False, "No")):
        prompt = frame.wrap("Is it good?")
        assert encode(tokenizer, prompt + word) == [
            *encode(tokenizer, prompt),
            answers.of(liked),
        ]


@pytest.mark.parametrize("kind", KINDS)
def test_frame_and_answers_survive_saving(tmp_path_factory: pytest.TempPathFactory, kind: Kind):
    loaded = AutoTokenizer.from_pretrained(tiny_tokenizer(tmp_path_factory.mktemp("t"), kind))
    made = chat_tokenizer(kind)
    for form in FORMS:
        frame = chat_frame(loaded, form)
        assert frame == chat_frame(made, form)
        assert answer_tokens(loaded, frame) == answer_tokens(made, frame)


def test_labels_choose_answers():
    answers = AnswerTokens(yes=7, no=9, end=1)
    assert (answers.of(True), answers.of(False)) == (7, 9)


@pytest.mark.parametrize("form", FORMS)
def test_a_tokenizer_without_template_is_refused(form: Form):
    with raises_error(ModelError, "no_chat_template"):
        chat_frame(with_template(None), form)


def test_a_template_that_strips_messages_supports_windows():
    # No turn of a window begins or ends with what is stripped.
    assert (
        chat_frame(with_template(CHAT.format(content="content | trim"))).wrap("x")
        == "user:x|assistant:"
    )


@pytest.mark.parametrize(
    "changing",
    ["content | upper", "content[:12]", "content[1:]", "content | replace('\n', ' ')"],
)
def test_a_template_that_changes_messages_is_refused(changing: str):
    template = PLAIN.replace("content", changing)
    with raises_error(ModelError, "template_changes_text"):
        chat_frame(with_template(template))


@pytest.mark.parametrize(
    "template",
    [f"{{{{ messages[0].content | length }}}}: {PLAIN}", PLAIN + "{{ messages[0].content[0] }}"],
)
def test_a_frame_that_depends_on_the_message_is_refused(template: str):
    with raises_error(ModelError, "template_depends_on_text"):
        chat_frame(with_template(template))


@pytest.mark.parametrize(
    "content",
    [
        "content | trim",
        "(content | trim if loop.last else content)",
        "(content if loop.last else content | trim)",
        "(content if message.role == 'user' else '<think></think>' + content)",
        "(content if message.role == 'user' or loop.index == 4 else '-' + content)",
        "(content if message.role == 'user' else content | lower)",
        "(content if loop.index > 1 or loop.last else content[:4])",
        "((loop.index | string) + content)",
    ],
)
def test_a_template_that_is_not_append_only_has_no_interview(content: str):
    tokenizer = with_template(CHAT.format(content=content))
    with raises_error(ModelError, "template_not_append_only", figures=["prompt.form", "window"]):
        chat_frame(tokenizer, INTERVIEW)


def test_a_template_that_drops_early_messages_has_no_interview():
    template = CHAT.format(content="content").replace("in messages", "in messages[-3:]")
    with raises_error(ModelError, "template_not_append_only"):
        chat_frame(with_template(template), INTERVIEW)


def test_an_append_only_template_has_an_interview():
    frame = chat_frame(with_template(CHAT.format(content="content")), INTERVIEW)
    assert (frame.before, frame.after, frame.next_turn) == ("user:", "|assistant:", "|user:")


def test_an_interview_frame_that_depends_on_the_message_is_refused():
    template = "{{ messages[0].content | length }}" + CHAT.format(content="content")
    with raises_error(ModelError, "template_depends_on_text"):
        chat_frame(with_template(template), INTERVIEW)


def test_a_template_without_message_end_is_refused():
    tokenizer = with_template(PLAIN.replace("endif", "else %}>{{ messages[1].content }}{% endif"))
    with raises_error(ModelError, "template_without_end"):
        answer_tokens(tokenizer, chat_frame(tokenizer))


# Shows past answers in another way than new ones, so the end of a turn cannot be read out of it.
REWRITES = PLAIN.replace("endif", "else %}({{ messages[1].content }}){% endif")


def test_a_template_that_rewrites_answers_ends_messages_with_the_end_token():
    tokenizer = with_template(REWRITES)
    frame = chat_frame(tokenizer)
    assert frame.end == "<|im_end|>"
    assert answer_tokens(tokenizer, frame).end == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_a_template_that_rewrites_answers_needs_an_end_token():
    tokenizer = with_template(REWRITES)
    tokenizer.eos_token = None
    with raises_error(ModelError, "template_without_end"):
        answer_tokens(tokenizer, chat_frame(tokenizer))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", ["Yes", "No"])
def test_an_answer_of_two_tokens_is_refused(kind: Kind, word: str):
    text = tuple(part.replace(word, "...") for part in ITEM_TEXT)
    tokenizer = chat_tokenizer(kind, text)
    with raises_error(ModelError, "answer_not_one_token", figures=[word]):
        answer_tokens(tokenizer, chat_frame(tokenizer))


def test_an_answer_that_merges_with_the_text_before_it_is_refused():
    tokenizer = chat_tokenizer("llama")
    tokenizer.add_tokens([AddedToken("\nNo", normalized=False)])
    with raises_error(ModelError, "answer_not_one_token", figures=["'No'"]):
        answer_tokens(tokenizer, chat_frame(tokenizer))


def test_answers_that_are_not_in_the_vocabulary_are_refused():
    raw = Tokenizer(WordLevel({"<unk>": 0, "film": 1, "<end>": 2}, unk_token="<unk>"))
    raw.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<unk>", eos_token="<end>", chat_template=REWRITES
    )
    with raises_error(ModelError, "answer_not_one_token", figures=["'Yes'"]):
        answer_tokens(tokenizer, chat_frame(tokenizer))


@pytest.mark.parametrize("form", ["window", "interview"])
def test_an_answer_that_merges_with_the_message_end_is_refused(form: Form):
    tokenizer = chat_tokenizer("llama")
    tokenizer.add_tokens([AddedToken("Yes<|im_end|>", normalized=False)])
    with raises_error(ModelError, "answer_not_one_token", figures=["'Yes'"]):
        answer_tokens(tokenizer, chat_frame(tokenizer, form))


NOW = "{{ strftime_now('%Y-%m-%d') }};"
DATE_STRING = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{{ date_string }};"
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dated", "text"), [(NOW, "2024-07-26;"), (DATE_STRING, "26 Jul 2024;")])
def test_a_template_always_writes_the_same_date(form: Form, dated: str, text: str):
    tokenizer = with_template(dated + CHAT.format(content="content"))
    chat = [{"role": "user", "content": "x"}]
    assert text not in str(tokenizer.apply_chat_template(chat, tokenize=False))
    frame = chat_frame(tokenizer, form)
    assert frame.before == f"{text}user:"
    assert writes_date(tokenizer, form)
    other = chat_frame(tokenizer, form, date(2030, 1, 2))
    assert (str(TEMPLATE_DATE.year) in other.before, "2030" in other.before) == (False, True)
    assert other.digest != frame.digest
    assert tokens_digest(tokenizer, other) != tokens_digest(tokenizer, frame)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_templates_without_a_date_are_rendered_as_before(kind: Kind, form: Form):
    assert not writes_date(tokenizer_of(kind), form)
    assert chat_frame(tokenizer_of(kind), form) == chat_frame(
        tokenizer_of(kind), form, date(2030, 1, 2)
    )


class UnfixedDate(PreTrainedTokenizerFast):
    """A tokenizer that renders its template without the given date."""

    def apply_chat_template(self, *arguments: Any, **options: Any) -> Any:
        """Render with the current date."""
        for name in ("strftime_now", "date_string"):
            options.pop(name, None)
        return super().apply_chat_template(*arguments, **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("written", ["%Y-%m-%d", "%d %b %Y", "%B %d, %Y", "%d %B %Y", "%d/%m/%Y"])
def test_a_date_that_cannot_be_fixed_is_refused(form: Form, written: str):
    template = f"{{{{ strftime_now('{written}') }}}};" + CHAT.format(content="content")
    raw = chat_tokenizer("llama").backend_tokenizer
    tokenizer = UnfixedDate(tokenizer_object=raw, eos_token="<|im_end|>", chat_template=template)
    with raises_error(ModelError, "template_date_not_fixed"):
        chat_frame(tokenizer, form)


def test_a_constant_date_is_accepted():
    tokenizer = with_template("Knowledge cutoff: 2023-12-01;" + CHAT.format(content="content"))
    assert chat_frame(tokenizer).before == "Knowledge cutoff: 2023-12-01;user:"
    assert not writes_date(tokenizer, INTERVIEW)


def test_the_digest_of_tokens_changes_with_added_tokens_merges_and_frame():
    tokenizer = chat_tokenizer("qwen3")
    frame = chat_frame(tokenizer)
    before = tokens_digest(tokenizer, frame)
    assert tokens_digest(chat_tokenizer("qwen3"), frame) == before
    assert tokens_digest(tokenizer, chat_frame(tokenizer, INTERVIEW)) != before
    assert tokens_digest(chat_tokenizer("llama"), frame) != before
    tokenizer.add_tokens([AddedToken("[FILM]", normalized=False)])
    assert tokens_digest(tokenizer, frame) != before
