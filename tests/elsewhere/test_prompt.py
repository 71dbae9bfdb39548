"""The examples write the prompts that reeltune writes, token by token, whatever a title holds."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.domain import Domain, Item, PromptSettings, Renderer, plain_text
from reeltune.models.prompt_record import PromptRecord, write_prompt_record
from reeltune.prompts.encoding import break_tokens, control_tokens
from tests.elsewhere.conftest import Case
from tests.elsewhere.snippets import EXAMPLES, command_lines, words
from tests.helpers import CONTROL_TOKENS, ODD_TITLES, chat_tokenizer

ITEMS = ["4.5: Heat (1995)", "Casino (1995)"]


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    """The module shared by the scripts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        return importlib.import_module("elsewhere_prompt")


def record(folder: Path, settings: PromptSettings) -> str:
    write_prompt_record(folder, PromptRecord(settings, history_len=5, base_model="some/model"))
    return str(folder)


def test_every_row_has_reeltunes_tokens(case: Case, writer: ModuleType):
    tokens = case.subject.tokens
    prompts = case.subject.rows("test").sequences.alone()
    told = list(command_lines(case.subject))
    assert len(told) == len(prompts)
    for items, expected in zip(told, prompts, strict=True):
        ids, answers = writer.encode_prompt(str(case.run), tokens.tokenizer, items)
        assert ids == expected.tolist()
        assert answers == [tokens.answers.yes, tokens.answers.no]
    given = {item for items in told for item in items}
    assert any(token in item for item in given for token in CONTROL_TOKENS)


@pytest.mark.parametrize("form", ["window", "interview"])
@pytest.mark.parametrize("events", [[], [(3.0, "Heat"), (2.5, "Fargo")]])
def test_scale_and_threshold_are_those_of_the_record(form, events, writer, tmp_path):
    settings = PromptSettings(threshold=3.0, scale_min=1.0, scale_max=4.0, form=form)
    candidate = "Casino"
    items = [(rating, Item(1, title, None, ())) for rating, title in events]
    expected = Renderer(settings).turns(items, Item(1, candidate, None, ()))
    assert writer.turns(settings.to_dict(), events, candidate) == expected


def test_an_adapter_with_signals_is_refused(writer, tmp_path):
    folder = record(tmp_path, PromptSettings(signals=("recent",)))
    with pytest.raises(SystemExit, match="prompt\\.signals"):
        writer.encode_prompt(folder, TOKENIZER, ["4.0: Heat (1995)", "Fargo (1996)"])


@pytest.mark.parametrize(
    "settings",
    [PromptSettings(domain=Domain("book", "book", "books")), PromptSettings(7.0, 1.0, 10.0)],
    ids=["books", "of 10"],
)
def test_an_adapter_of_other_words_is_refused(writer, tmp_path, settings):
    folder = record(tmp_path, settings)
    with pytest.raises(SystemExit, match="other words"):
        writer.encode_prompt(folder, TOKENIZER, ["4.0: Heat (1995)", "Fargo (1996)"])


TOKENIZER = chat_tokenizer("qwen3")
TOKENIZER.add_tokens(["[INST]", "[/INST]"])
_PIECES = st.sampled_from(
    (*CONTROL_TOKENS, *ODD_TITLES, "[INST]", "[/INST]", "<", ">", "[", "\x85")
)


@given(st.lists(st.one_of(_PIECES, st.text(max_size=4)), max_size=6), st.integers(1900, 2030))
def test_a_title_is_made_safe_as_reeltune_does(parts: list[str], year: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        writer = importlib.import_module("elsewhere_prompt")
    item = Item(1, "".join(parts), year, ())
    if not plain_text(item.title):
        item = item._replace(title="")
    shown = Renderer(PromptSettings()).item(item)
    expected = break_tokens(shown, control_tokens(TOKENIZER))
    assert f" {writer.safe(words(item), TOKENIZER)}\n" == expected


def test_a_prompt_of_another_version_is_refused(writer, tmp_path):
    folder = record(tmp_path, dataclasses.replace(PromptSettings(), version="1"))
    with pytest.raises(SystemExit) as caught:
        writer.encode_prompt(folder, chat_tokenizer(), ITEMS)
    assert re.findall(r"\b\d\b", str(caught.value).removeprefix(folder)) == ["1", "5"]


def test_answers_of_several_tokens_are_refused(writer, tmp_path):
    tokenizer = chat_tokenizer(text=("a film",))
    assert len(tokenizer.tokenize("Yes")) > 1
    with pytest.raises(SystemExit, match=r"\bYes\b.*\bNo\b"):
        writer.encode_prompt(record(tmp_path, PromptSettings()), tokenizer, ITEMS)
