"""Controls ask the same model about the same rows, once as they are and once altered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from reeltune.asking.subject import Subject, load_subject
from reeltune.data.columns import TEST
from reeltune.domain import Form
from reeltune.evaluation.altered import as_prepared
from reeltune.evaluation.controls import ALTERATIONS, UNALTERED, ask, controls
from reeltune.evaluation.evaluate import score_split
from reeltune.evaluation.result import Control
from reeltune.seeds import stream
from tests.runs import tiny_config

FORMS: tuple[Form, ...] = ("window", "interview")
WITHOUT_SIGNALS = [name for name in ALTERATIONS if name != "signals shuffled"]


@pytest.fixture(scope="module", params=FORMS)
def subject(request: pytest.FixtureRequest, tiny_qwen3, prepared, tmp_path_factory) -> Subject:
    work = tmp_path_factory.mktemp("controls")
    changes = {"prompt__form": request.param, "scoring__share_history": False}
    return load_subject(tiny_config(tiny_qwen3, prepared.path, work, **changes), None)


@pytest.fixture(scope="module")
def events(subject: Subject) -> np.ndarray:
    return subject.folder.examples(TEST).target


@pytest.fixture(scope="module")
def found(subject: Subject, events) -> list[Control]:
    return controls(subject, events, seed=7)


def test_unaltered_rows_get_the_verdicts_of_the_single_layout(subject, events):
    ordinary = score_split(subject, TEST)
    again = ask(subject, as_prepared(subject, events))
    assert again.yes_logit.tolist() == ordinary.verdicts.yes_logit.tolist()
    assert again.no_logit.tolist() == ordinary.verdicts.no_logit.tolist()
    assert np.ptp(again.p_yes) > 1e-4


def test_every_control_is_measured_on_its_own_verdicts(subject, events, found):
    asking, liked = as_prepared(subject, events), subject.folder.timelines.liked[events]
    plain = roc_auc_score(liked, ask(subject, asking).log_odds)
    assert [control.name for control in found] == WITHOUT_SIGNALS
    for control in found:
        alter, about = ALTERATIONS[control.name]
        altered = alter(asking, stream(7, control.name))
        assert altered is not None
        auc = roc_auc_score(liked, ask(subject, altered).log_odds)
        assert control.auc is not None
        assert control.difference is not None
        assert control.auc.value == pytest.approx(auc, abs=1e-12)
        assert control.difference.value == pytest.approx(auc - plain, abs=1e-12)
        assert control.difference.low <= control.difference.value <= control.difference.high
        assert (control.rows, control.about) == (len(events), about)
    # A model of random weights still reads what it is shown.
    assert any(control.difference and control.difference.value for control in found)


def test_evidence_is_shuffled_where_it_is_told(tiny_qwen3, prepared, tmp_path):
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, prompt__signals=["recent"])
    telling = load_subject(config, None)
    events = telling.folder.examples(TEST).target
    names = [control.name for control in controls(telling, events, seed=7, limit=20, draws=30)]
    assert names == list(ALTERATIONS)


def test_a_seed_decides_everything(subject, events, found):
    assert controls(subject, events, seed=7) == found
    assert controls(subject, events, seed=8) != found


def test_a_sample_is_of_the_size_asked_for(subject, events):
    found = controls(subject, events, seed=0, limit=9, draws=30)
    assert {control.rows for control in found} == {9}
    assert all(control.auc and control.auc.draws <= 30 for control in found)


def test_rows_of_one_user_cannot_be_given_anothers_history(subject, events):
    own = events[subject.folder.timelines.user_id[events] == 1]
    names = [control.name for control in controls(subject, own, seed=0)]
    assert names == [name for name in WITHOUT_SIGNALS if name != "another user's history"]


def test_rows_of_one_label_have_no_auc(subject, events):
    liked = events[subject.folder.timelines.liked[events]]
    for control in controls(subject, liked, seed=0):
        assert control.rows == len(liked)
        assert (control.auc, control.difference) == (None, None)


def test_progress_is_told_by_name(subject, events):
    told: dict[str, list[tuple[int, int]]] = {}

    def start(name: str):
        told[name] = []
        return lambda done, total: told[name].append((done, total))

    controls(subject, events, seed=0, progress=start, limit=10)
    assert list(told) == [UNALTERED, *WITHOUT_SIGNALS]
    assert all(batches[-1] == (10, 10) for batches in told.values())


def test_calibration_changes_no_control(subject, events, found, monkeypatch):
    """A curve with steps makes ties; the controls are about what the model itself says."""
    monkeypatch.setattr(Subject, "_adapter_is_on", True)
    flat = replace(subject, calibrate=np.round)
    assert len(set(ask(flat, as_prepared(flat, events)).p_yes.tolist())) <= 2
    assert controls(flat, events, seed=7) == found
