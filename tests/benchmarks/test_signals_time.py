"""The duration of computing signals is extrapolated from a sample of users."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import signals_time
from benchmarks.render import problems
from reeltune.data.folder import PreparedFolder


def test_every_edition_named_is_timed(prepared: PreparedFolder, tmp_path: Path):
    file, path = tmp_path / "result.json", str(prepared.path)
    signals_time.main(["--prepared", path, "--also", path, "--users", "3", "--result", str(file)])
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    assert [case["case"] for case in result["cases"]] == [prepared.path.name] * 2
    for case in result["cases"]:
        users = int((prepared.ratings.position == 0).sum())
        assert (case["users"], case["ratings"]) == (users, len(prepared.ratings))
        assert case["users timed"] == 3
        seconds = case["fold statistics, seconds"] + case["milliseconds per user"] * users / 1000
        minutes = case["minutes for all users, extrapolated"]
        assert minutes == pytest.approx(seconds / 60, abs=1e-8)
