"""The metadata of model cards, read by the hub's own library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData, metadata_eval_result

from reeltune.domain import FILM
from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Evaluation, ScorerResult
from reeltune.offline.smollm2 import ORIGINAL_ID
from reeltune.training.card_metadata import (
    base_link,
    card_metadata,
    evaluation_results,
    hub_id,
    metric_result,
)
from reeltune.training.record import render_card

EDITION = "ml-latest-small"
DATA = {"edition": EDITION, "layout": "csv"}


def card(results: list[EvalResult], **changes: Any) -> ModelCardData:
    """The metadata as the hub's library reads them from a card."""
    values = {"kind": "adapter", "base_model": "Qwen/Qwen3-0.6B", "data": DATA} | changes
    metadata = card_metadata("my-run", results=results, **values)  # pyright: ignore
    return ModelCard(f"---\n{metadata}\n---\n\n# my-run\n").data


def evaluation(**metrics: Interval | None) -> Evaluation:
    scorers = [
        ScorerResult("base", "base", {"auc": Interval(0.1, 0, 1, 9, 99)}, 0.5),
        ScorerResult("tuned", "tuned", metrics, 0.5),
    ]
    return Evaluation({}, "test", 1000, 99, 0.5, scorers, [], [], [], [], [], [])


@pytest.mark.parametrize(
    ("kind", "relation", "library"),
    [("adapter", "adapter", "peft"), ("merged", "finetune", "transformers")],
)
def test_a_card_names_base_library_task_data_and_terms(kind: str, relation: str, library: str):
    data = card([], kind=kind)
    assert (data.base_model, data.library_name) == ("Qwen/Qwen3-0.6B", library)
    assert data["base_model_relation"] == relation
    assert data.pipeline_tag == "text-generation"
    assert data.datasets == [EDITION]
    assert (data.license, data.license_name) == ("other", "movielens")
    assert (
        data.license_link == f"https://files.grouplens.org/datasets/movielens/{EDITION}-README.html"
    )
    assert {"roc_auc", "accuracy", "brier_score"} <= set(data.metrics or [])
    assert data.eval_results is None


def test_results_are_the_tuned_models_with_intervals():
    intervals = {
        "auc": Interval(0.84, 0.82, 0.86, 1000, 99),
        "log_loss": Interval(0.5, 0.4, 0.6, 1000, 3),
        "f1": None,
    }
    results = card(evaluation_results(DATA, FILM, evaluation(**intervals))).eval_results or []
    assert [(result.metric_type, result.metric_value) for result in results] == [
        ("roc_auc", 0.84),
        ("log_loss", 0.5),
    ]
    auc, log_loss = results
    assert auc.metric_args == {"interval_95": [0.82, 0.86]}
    assert log_loss.metric_args is None  # too few users
    assert (auc.dataset_type, auc.dataset_split) == (EDITION, "test")
    assert auc.dataset_args == {"rows": 1000, "users": 99}


def test_the_index_has_the_form_of_the_hubs_own_function():
    data = card([metric_result(DATA, FILM, "test", {"rows": 7}, "auc", 0.75)])
    index = data.to_dict()["model-index"]
    expected = metadata_eval_result(
        model_pretty_name="my-run",
        task_pretty_name=index[0]["results"][0]["task"]["name"],
        task_id="text-classification",
        metrics_pretty_name="AUC",
        metrics_id="roc_auc",
        metrics_value=0.75,
        dataset_pretty_name=f"MovieLens ({EDITION})",
        dataset_id=EDITION,
        dataset_split="test",
    )["model-index"]
    assert index[0]["results"][0]["dataset"].pop("args") == {"rows": 7}
    assert expected[0]["results"][0]["metrics"][0].pop("verified") is False
    assert index == expected


def test_other_ratings_have_unknown_terms():
    # A table of one's own may be called like an edition.
    for data in ({"edition": "synthetic-20x30"}, {"edition": "ml-1m", "layout": "tables"}):
        found = card([], data=data)
        assert (found.license, found.license_link, found.datasets) == ("unknown", None, None)
        assert "movielens" not in (found.tags or [])
        (result,) = card([metric_result(data, FILM, "test", {}, "auc", 0.5)]).eval_results or []
        assert result.dataset_name == data["edition"]
        assert "MovieLens" not in render_card('{% include "data.md.j2" %}', data, domain=FILM)
    assert "MovieLens" in render_card('{% include "data.md.j2" %}', DATA, domain=FILM)


def test_a_hub_id_is_its_own(tmp_path: Path):
    assert hub_id("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"
    assert (
        base_link("Qwen/Qwen3-0.6B") == "[Qwen/Qwen3-0.6B](https://huggingface.co/Qwen/Qwen3-0.6B)"
    )
    assert hub_id(str(tmp_path / "gone")) is None
    assert hub_id("models/gone") is None


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("README.md", "---\nbase_model: some/model\n---\n", "some/model"),
        ("README.md", "---\nbase_model: [some/model, other/model]\n---\n", None),
        ("README.md", "No metadata.\n", None),
        ("config.json", '{"_name_or_path": "some/model"}', "some/model"),
        ("config.json", '{"_name_or_path": "/home/me/model"}', None),
        ("config.json", '{"model_type": "llama"}', None),
    ],
)
def test_the_id_of_a_folder(tmp_path: Path, file: str, content: str, expected: str | None):
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / file).write_text(content, encoding="utf-8")
    assert hub_id(str(folder)) == expected
    assert base_link(str(folder)).strip("[").split("]")[0] == (expected or "my-model")
    assert ("base_model" in yaml.safe_load(card([], base_model=str(folder)).to_yaml())) == (
        expected is not None
    )


def test_the_small_model_is_known_without_a_card(tmp_path: Path):
    (tmp_path / "smollm2-135m").mkdir()
    assert hub_id(str(tmp_path / "smollm2-135m")) == ORIGINAL_ID
