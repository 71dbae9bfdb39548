"""All users at once and some one at a time are timed and compared."""

from __future__ import annotations

import json
from pathlib import Path

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
        assert case["users one at a time"] == 3
        assert case["largest difference"] < 1e-12
        assert case["codes compared"] >= 3
        assert case["codes that differ"] == 0
