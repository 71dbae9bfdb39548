"""Ablations score the same rows with the same model, unaltered and altered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from reeltune.data.columns import TEST
from reeltune.domain import Form
from reeltune.evaluation.ablations import (
    ALTERATIONS,
    UNALTERED,
    PromptRows,
    measure_ablations,
    score_prompt_rows,
)
from reeltune.evaluation.result import Ablation
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.seeds import stream
from tests.runs import tiny_config
from tests.scored import score_split

FORMS: tuple[Form, ...] = ("window", "interview")
WITHOUT_SIGNALS = [name for name in ALTERATIONS if name != "signals shuffled"]


def measured(
    loaded: LoadedModel,
    events: np.ndarray,
    seed: int,
    progress=lambda _: None,
    limit: int | None = 1000,
    samples: int = 1000,
) -> list[Ablation]:
    return measure_ablations(loaded, events, seed, progress, limit, samples)


@pytest.fixture(scope="module", params=FORMS)
def loaded(request: pytest.FixtureRequest, tiny_qwen3, prepared, tmp_path_factory) -> LoadedModel:
    work = tmp_path_factory.mktemp("ablations")
    changes = {"prompt__form": request.param, "scoring__share_history": False}
    return load_model(tiny_config(tiny_qwen3, prepared.path, work, **changes), None)


@pytest.fixture(scope="module")
def events(loaded: LoadedModel) -> np.ndarray:
    return loaded.folder.examples(TEST).target


@pytest.fixture(scope="module")
def ablations(loaded: LoadedModel, events) -> list[Ablation]:
    return measured(loaded, events, seed=7)


def test_unaltered_rows_get_the_predictions_of_the_single_layout(loaded, events):
    ordinary = score_split(loaded, TEST)
    again = score_prompt_rows(loaded, PromptRows.of_events(loaded, events))
    assert again.yes_logit.tolist() == ordinary.predictions.yes_logit.tolist()
    assert again.no_logit.tolist() == ordinary.predictions.no_logit.tolist()
    assert np.ptp(again.p_yes) > 1e-4


@pytest.mark.slow
def test_every_ablation_is_measured_on_its_own_predictions(loaded, events, ablations):
    rows, liked = PromptRows.of_events(loaded, events), loaded.folder.timelines.liked[events]
    plain = roc_auc_score(liked, score_prompt_rows(loaded, rows).log_odds)
    assert [ablation.name for ablation in ablations] == WITHOUT_SIGNALS
    for ablation in ablations:
        alter, about = ALTERATIONS[ablation.name]
        altered = alter(rows, stream(7, ablation.name))
        assert altered is not None
        auc = roc_auc_score(liked, score_prompt_rows(loaded, altered).log_odds)
        assert ablation.auc is not None
        assert ablation.difference is not None
        assert ablation.auc.value == pytest.approx(auc, abs=1e-12)
        assert ablation.difference.value == pytest.approx(auc - plain, abs=1e-12)
        assert ablation.difference.low <= ablation.difference.value <= ablation.difference.high
        assert (ablation.rows, ablation.about) == (len(events), about)
    # A model of random weights still reads what it is shown.
    assert any(ablation.difference and ablation.difference.value for ablation in ablations)


@pytest.mark.slow
def test_signals_are_shuffled_where_prompts_have_them(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, prompt__signals=["recent"])
    telling = load_model(config, None)
    events = telling.folder.examples(TEST).target
    names = [ablation.name for ablation in measured(telling, events, seed=7, limit=20, samples=30)]
    assert names == list(ALTERATIONS)


@pytest.mark.slow
def test_the_seed_determines_everything(loaded, events, ablations):
    assert measured(loaded, events, seed=7) == ablations
    assert measured(loaded, events, seed=8) != ablations


def test_the_sample_has_the_requested_size(loaded, events):
    ablations = measured(loaded, events, seed=0, limit=9, samples=30)
    assert {ablation.rows for ablation in ablations} == {9}
    assert all(ablation.auc and ablation.auc.bootstrap_samples <= 30 for ablation in ablations)


def test_rows_of_one_user_have_no_history_to_exchange(loaded, events):
    own = events[loaded.folder.timelines.user_id[events] == 1]
    names = [ablation.name for ablation in measured(loaded, own, seed=0)]
    assert names == [name for name in WITHOUT_SIGNALS if name != "another user's history"]


def test_rows_of_one_label_have_no_auc(loaded, events):
    liked = events[loaded.folder.timelines.liked[events]]
    for ablation in measured(loaded, liked, seed=0):
        assert ablation.rows == len(liked)
        assert (ablation.auc, ablation.difference) == (None, None)


def test_progress_is_reported_by_name(loaded, events):
    told: dict[str, list[tuple[int, int]]] = {}

    def start(name: str):
        told[name] = []
        return lambda done, total: told[name].append((done, total))

    measured(loaded, events, seed=0, progress=start, limit=10)
    assert list(told) == [UNALTERED, *WITHOUT_SIGNALS]
    assert all(batches[-1] == (10, 10) for batches in told.values())


@pytest.mark.slow
def test_calibration_changes_no_ablation(loaded, events, ablations, monkeypatch):
    """A curve with steps makes ties; ablations use the model's own logits."""
    monkeypatch.setattr(LoadedModel, "adapter_active", True)
    flat = replace(loaded, calibrate=np.round)
    assert len(set(score_prompt_rows(flat, PromptRows.of_events(flat, events)).p_yes.tolist())) <= 2
    assert measured(flat, events, seed=7) == ablations
