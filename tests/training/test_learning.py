"""What training in blocks teaches, and that the ways of running it teach the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from reeltune.data.columns import VALIDATION
from reeltune.domain import NO, YES
from reeltune.evaluation.compare import generate
from reeltune.models.loaded_model import load_model
from reeltune.training.train import train
from tests.runs import tiny_config
from tests.scored import score_split


def losses_of(run: Path) -> list[float]:
    return [entry["loss"] for entry in json.loads((run / "metrics.json").read_text())["losses"]]


@pytest.fixture(scope="module")
def eager_model(tiny_qwen3, tmp_path_factory) -> Path:
    """The tiny model with embeddings large enough that its logits can become certain."""
    folder = tmp_path_factory.mktemp("eager")
    model = AutoModelForCausalLM.from_pretrained(tiny_qwen3)
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding)
    with torch.no_grad():
        embeddings.weight.mul_(30)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_qwen3).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["blocks", "single"])
def learned(request: pytest.FixtureRequest, eager_model, prepared, tmp_path_factory):
    """A run that learned the whole answer, and its configuration."""
    config = tiny_config(
        eager_model,
        prepared.path,
        tmp_path_factory.mktemp("learned"),
        train__share_history=request.param == "blocks",
        train__batch_size=1 if request.param == "blocks" else 8,
        train__max_steps=24,
        train__eval_steps=24,
        train__save_steps=24,
        train__logging_steps=4,
        lora__r=16,
    )
    return config, train(config)


@pytest.mark.slow
def test_training_learns_the_form_of_the_answer(learned):
    losses = losses_of(learned[1])
    # two tokens are learned; once their form is known, only the choice of Yes or No is left
    assert losses[0] > 4
    assert losses[-1] < 1


def test_left_to_itself_the_model_answers_with_one_word_and_stops(learned):
    subject = load_model(*learned)
    prompts = subject.rows(VALIDATION).sequences.alone()
    for row in range(0, len(prompts), 6):
        prompt = prompts[row].tolist()
        assert generate(subject, prompt) in (YES, NO)
        with subject.without_adapter():
            assert generate(subject, prompt) not in (YES, NO)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "form"), [("blocks", "window"), ("blocks", "interview"), ("single", "window")]
)
def test_gradient_checkpointing_learns_the_same(layout, form, tiny_qwen3, prepared, tmp_path):
    def losses(checkpointing: bool) -> list[float]:
        config = tiny_config(
            tiny_qwen3,
            prepared.path,
            tmp_path,
            prompt__form=form,
            train__share_history=layout == "blocks",
            train__batch_size=2,
            train__gradient_checkpointing=checkpointing,
            train__output_dir=tmp_path / str(checkpointing),
        )
        return losses_of(train(config))

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_an_interview_learns_predictions_from_end_to_end(kind, request, prepared, tmp_path):
    """The adapter that was kept scores the validation rows exactly as it did during training."""
    config = tiny_config(
        request.getfixturevalue(f"tiny_{kind}"),
        prepared.path,
        tmp_path,
        prompt__form="interview",
        train__loss="yes_no",
        train__batch_size=1,
        train__logging_steps=1,
    )
    run = train(config)
    losses = losses_of(run)
    # Yes against No and nothing else: about ln 2 at the start, not ln of the vocabulary
    assert losses[0] == pytest.approx(np.log(2), abs=0.1)
    assert len(set(losses)) == 4
    best = json.loads((run / "metrics.json").read_text())["best"]
    subject = load_model(config, run)
    after = score_split(subject, VALIDATION).metrics.to_dict()
    for name in ("auc", "accuracy", "log_loss", "rows"):
        assert after[name] == pytest.approx(best[f"eval_{name}"], abs=1e-6)
    assert subject.tokens.renderer.settings.form == "interview"
    assert json.loads((run / "prompt.json").read_text())["settings"]["form"] == "interview"
