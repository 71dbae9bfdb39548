"""The benchmark of intervals runs at a tiny size; its scorers differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bootstrap
from benchmarks.render import problems, render
from reeltune.evaluation.metrics import METRICS, measure


def test_it_writes_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "result.json"
    bootstrap.main(
        f"--rows 60 --users 9 --scorers 3 --samples 20 --calls 1 --note rough "
        f"--result {file}".split()
    )
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    assert result["note"] == "rough"
    assert result["command"] == (
        "python -m benchmarks.bootstrap --rows 60 --users 9 --scorers 3 --samples 20 --calls 1"
    )
    (case,) = result["cases"]
    assert case["seconds"] > 0
    sizes = {name: case[name] for name in ("rows", "users", "scorers", "samples")}
    assert sizes == {"rows": 60, "users": 9, "scorers": 3, "samples": 20}
    # Three scorers, and two differences to the first.
    assert case["intervals"] == 5 * len(METRICS)
    assert render("bootstrap", result).count("\n|") == 3
    assert "60 rows of 9 users, 3 scorers, 20 samples" in capsys.readouterr().out


def test_ratings_per_user_are_skewed_and_scorers_differ():
    labels, user_id, predictions = bootstrap.synthetic_predictions(rows=9000, users=610, scorers=10)
    sizes = np.bincount(user_id)
    assert len(sizes) == 610
    assert sizes.min() >= 1
    assert sizes.max() > 10 * np.median(sizes)
    aucs = [measure(labels, p_yes, user_id).auc for p_yes in predictions.values()]
    assert aucs[0] is not None and aucs[-1] is not None
    assert 0.5 < aucs[-1] < aucs[0] - 0.1 < 0.9
    assert len(set(aucs)) == 10
