"""docs/EVALUATION.md explains every number that is written, and how the interval is made."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from reeltune.config import Config
from reeltune.evaluation.intervals import BOOTSTRAP_SAMPLES, bootstrap_auc
from reeltune.evaluation.metrics import measure
from tests.docs.pages import ROOT, table, text_of

PAGE = ROOT / "docs" / "EVALUATION.md"

_LIKED = np.array([True, False])
_NO_ROWS = np.zeros(0)


def explained() -> dict[str, list[str]]:
    """Meaning of every metric and when it is undefined."""
    return {name.strip("`"): cells for name, *cells in table(PAGE, "Name")}


def test_every_metric_is_explained_in_the_order_it_is_written():
    found = measure(_LIKED, np.array([0.7, 0.2]), np.array([1, 1])).to_dict()
    assert list(explained()) == list(json.loads(json.dumps(found)))


def test_what_no_rows_leave_undefined_is_said_to_be():
    found = measure(_NO_ROWS.astype(bool), _NO_ROWS, _NO_ROWS.astype(np.int64)).to_dict()
    never = {name for name, (_, undefined) in explained().items() if undefined == "never"}
    assert never == {name for name, value in found.items() if value is not None}


def test_the_number_of_bootstrap_samples_is_the_codes():
    (found,) = re.findall(r"`evaluation\.bootstrap_samples` samples \((\d+)", text_of(PAGE))
    assert int(found) == BOOTSTRAP_SAMPLES == Config().evaluation.bootstrap_samples


@pytest.mark.parametrize("label", [True, False])
def test_where_one_label_is_all_there_is_no_interval(label: bool):
    labels, p_yes = np.full(4, label), np.linspace(0.1, 0.9, 4)
    scores = {"one": p_yes, "two": p_yes}
    found = bootstrap_auc(labels, np.arange(4), scores, seed=1)
    assert found.difference("one", "two", "auc") is None
