"""The model card's description of the prompt."""

from __future__ import annotations

import pytest

from reeltune.domain import FILM, INTERVIEW, SIGNALS, PromptSettings, Renderer
from reeltune.training.record import example_turns, render_card
from tests.prompts.build import FORMS


def prompt_part(prompt: dict[str, object], **data: int) -> str:
    record = {"prompt": prompt, "data": {"history_len": 15, **data}}
    return render_card('{% include "prompt.md.j2" %}', {"edition": ""}, record=record, domain=FILM)


@pytest.mark.parametrize("form", FORMS)
def test_the_example_holds_the_signals_of_the_prompt(form):
    settings = PromptSettings(form=form, signals=tuple(SIGNALS))
    turns = example_turns(Renderer(settings))
    lines = "Others 70% of 100\nUser 60% of 20\nLately 65%\nExpected 62%\n"
    times = 3 if form == INTERVIEW else 1
    assert "".join(turns).count(lines) == times
    assert lines not in "".join(example_turns(Renderer(PromptSettings(form=form))))


def test_signals_are_named_where_there_are_any():
    settings = PromptSettings(signals=("recent", "expected"))
    assert "(recent, expected)" in prompt_part(settings.to_dict())
    assert "`reeltune recommend`" in prompt_part(settings.to_dict())
    assert "`reeltune recommend`" not in prompt_part(PromptSettings().to_dict())


def test_cards_of_runs_without_a_record_of_signals_are_still_written():
    older = PromptSettings().to_dict()
    del older["signals"]
    assert prompt_part(older) == prompt_part(PromptSettings().to_dict())
    assert "(recent)" in prompt_part({**older, "evidence": ["recent"]})


def test_the_card_says_the_fewest_ratings_of_training():
    prompt = PromptSettings().to_dict()
    assert "15 rated films or more" in prompt_part(prompt)  # of a run of an earlier version
    assert "0 rated films or more" in prompt_part(prompt, min_history=0)
    assert "2 or more of them" in prompt_part(
        PromptSettings(form=INTERVIEW).to_dict(), min_history=2
    )
