"""``evaluate`` uses the requested prompt form and records it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reeltune.cli import main
from reeltune.data.columns import VALIDATION
from reeltune.domain import Form
from reeltune.models.loaded_model import load_model
from reeltune.training.train import train
from tests.runs import of_a_file, tiny_config, tiny_overrides
from tests.scored import score_split

OTHER: dict[Form, Form] = {"window": "interview", "interview": "window"}


@pytest.fixture(scope="module", params=OTHER)
def trained(request: pytest.FixtureRequest, tiny_qwen3, prepared, tmp_path_factory):
    """A run in one form, and the overrides it was made with; only evaluations may be added."""
    work = tmp_path_factory.mktemp("form")
    changes = {"prompt__form": request.param, "train__max_steps": 2, "train__batch_size": 1}
    run = train(tiny_config(tiny_qwen3, prepared.path, work, **changes))
    return request.param, run, tiny_overrides(tiny_qwen3, prepared.path, work, **changes)


def evaluate(overrides: list[str], *flags: str) -> int:
    sets = [part for override in overrides for part in ("--set", override)]
    with pytest.raises(SystemExit) as left:
        quick = ("--no-baselines", "--ablations", "0", "--set", "evaluation.bootstrap_samples=10")
        main(["evaluate", "--config", os.devnull, "--split", "validation", *quick, *sets, *flags])
    return int(left.value.code or 0)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def log_loss(written: dict[str, Any]) -> float:
    return written["scorers"][0]["metrics"]["log_loss"]["value"]


@pytest.mark.slow
def test_an_adapter_is_evaluated_in_its_form_or_in_the_one_given(trained, prepared):
    form, run, overrides = trained
    other = OTHER[form]
    assert evaluate(overrides) == 0
    assert evaluate(overrides, "--form", other) == 0
    own = record(run / "evaluation-validation")
    asked = record(run / f"evaluation-validation-{other}")
    assert (own["form"], asked["form"]) == (form, other)
    assert own["layout"] == asked["layout"] == "blocks"
    assert own["rows"] == asked["rows"] == len(prepared.examples(VALIDATION))
    assert own["scorers"][0]["name"] == asked["scorers"][0]["name"] == "tuned"
    assert log_loss(own) != log_loss(asked)


@pytest.mark.slow
def test_a_base_model_is_evaluated_in_either_form(trained):
    _, run, overrides = trained
    for asked in OTHER:
        assert evaluate(overrides, "--base-only", "--form", asked) == 0
        folder = run.with_name(f"{run.name}-base-evaluation-validation-{asked}")
        assert record(folder)["form"] == asked


def test_an_unknown_form_is_wrong_usage(trained, capsys):
    assert evaluate(trained[2], "--form", "chat") == 2
    assert "chat" in capsys.readouterr().err


@pytest.mark.slow
def test_layout_and_length_of_blocks_are_recorded(trained):
    _, run, overrides = trained
    folder = run / "single"
    others = ("scoring.share_history=false", "train.block_size=2")
    assert evaluate([*overrides, *others], "--output", str(folder)) == 0
    written = record(folder)
    assert written["layout"] == "single"
    assert f"train.block_size={written['block_size']}" in overrides  # the run's own


def test_form_and_layout_do_not_change_the_sampled_rows(trained, tiny_qwen3, prepared, tmp_path):
    """A sample has the same candidates, labels and users in every form and layout."""
    _, run, _ = trained
    asked = []
    for layout in ("blocks", "single"):
        changes = {"scoring__share_history": layout == "blocks", "evaluation__max_examples": 13}
        config = tiny_config(tiny_qwen3, prepared.path, tmp_path, **changes)
        for form in OTHER:
            rows = load_model(of_a_file(config), run, form=form).rows(VALIDATION)
            assert rows.sequences.plain == (layout == "single")
            asked.append([rows.user_id.tolist(), rows.item_id.tolist(), rows.liked.tolist()])
    assert len(asked[0][0]) == 13
    assert all(rows == asked[0] for rows in asked)


def test_histories_grow_as_they_did_in_training(trained, tiny_qwen3, prepared, tmp_path):
    """The block size is that of the run, whatever the configuration says now."""
    _, run, _ = trained
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, train__block_size=2)
    own = tiny_config(tiny_qwen3, prepared.path, tmp_path).train.block_size
    answers = np.diff(load_model(of_a_file(config), run).rows(VALIDATION).sequences.answer_offsets)
    assert 2 < answers.max() <= own
    base = np.diff(load_model(config, None).rows(VALIDATION).sequences.answer_offsets)
    assert base.max() == 2


@pytest.mark.parametrize("form", OTHER)
def test_blocks_of_one_example_equal_single_prompts(form, tiny_qwen3, prepared, tmp_path):
    """Longer blocks show longer histories; the layout changes nothing else."""
    p_yes = []
    for layout in ("blocks", "single"):
        changes = {
            "scoring__share_history": layout == "blocks",
            "train__block_size": 1,
            "prompt__form": form,
        }
        config = tiny_config(tiny_qwen3, prepared.path, tmp_path, **changes)
        p_yes.append(score_split(load_model(config, None), VALIDATION).predictions.p_yes)
    assert np.ptp(p_yes[0]) > 1e-4
    np.testing.assert_allclose(p_yes[0], p_yes[1], rtol=0, atol=1e-6)
