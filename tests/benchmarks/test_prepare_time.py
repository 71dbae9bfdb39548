"""Ratings whose ids are text are measured beside the same ratings with numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import prepare_time
from benchmarks.render import problems
from reeltune.data.folder import PreparedFolder


@pytest.mark.slow
def test_both_kinds_of_ids_are_measured_on_as_many_ratings(tmp_path: Path):
    file = tmp_path / "result.json"
    prepare_time.main(["--ratings", "3200", "--result", str(file)])
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    names = [case["case"] for case in result["cases"]]
    assert names == [f"3,200 ratings, ids are {kind}" for kind in ("numbers", "text")]
    for case in result["cases"]:
        assert (case["users"], case["ratings"]) == (20, 3200)


@pytest.mark.slow
def test_the_hyperparameters_of_signals_are_not_fitted_in_the_time(tmp_path: Path):
    """Fitting takes as long for either kind of ids, and most of the time of a large table."""
    prepare_time.write_ratings(tmp_path / "ratings.csv", 3200, "numbers", 0)
    prepare_time.one_case(tmp_path / "ratings.csv", tmp_path / "prepared")
    assert "signals" not in PreparedFolder.open(tmp_path / "prepared").meta
