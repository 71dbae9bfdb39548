"""What a model card says of asking the model."""

from __future__ import annotations

import pytest
from jinja2 import Environment, StrictUndefined

from reeltune.domain import INTERVIEW, SIGNALS, PromptSettings, Renderer
from reeltune.training.card import HOW_TO_ASK, example_turns
from tests.prompts.build import FORMS


def how_to_ask(prompt: dict[str, object]) -> str:
    template = Environment(undefined=StrictUndefined).from_string(HOW_TO_ASK)
    return template.render(record={"prompt": prompt, "data": {"history_len": 15}})


@pytest.mark.parametrize("form", FORMS)
def test_the_example_tells_the_evidence_the_model_is_told(form):
    settings = PromptSettings(form=form, signals=tuple(SIGNALS))
    said = example_turns(Renderer(settings))
    lines = "Others 70% of 100\nUser 60% of 20\nLately 65%\nExpected 62%\n"
    times = 3 if form == INTERVIEW else 1
    assert "".join(said).count(lines) == times
    assert lines not in "".join(example_turns(Renderer(PromptSettings(form=form))))


def test_evidence_is_named_where_there_is_any():
    settings = PromptSettings(signals=("recent", "expected"))
    assert "(recent, expected)" in how_to_ask(settings.to_dict())
    assert how_to_ask(settings.to_dict()).startswith(how_to_ask(PromptSettings().to_dict()))
    assert "recent" not in how_to_ask(PromptSettings().to_dict())


def test_cards_of_runs_that_know_no_evidence_are_still_written():
    older = PromptSettings().to_dict()
    del older["signals"]
    assert how_to_ask(older) == how_to_ask(PromptSettings().to_dict())
    assert "(recent)" in how_to_ask({**older, "evidence": ["recent"]})
