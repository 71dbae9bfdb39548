"""From cold to warm, at a tiny size: new items and new users, trained and evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import cold_to_warm
from benchmarks.launching import Launch
from benchmarks.render import problems, render
from reeltune import cli
from reeltune.offline.synthetic import make_synthetic
from tests.helpers import tiny_tokenizer

CONFIG = """
model: {dtype: float32}
prompt: {form: interview, signals: [recent, expected]}
lora: {r: 2}
data: {max_train_examples: 40, max_eval_examples: 10, max_length: 8192}
train: {batch_size: 1, pack_length: 8192, max_steps: 1, eval_steps: 1, save_steps: 1,
        gradient_checkpointing: false}
evaluation: {bootstrap_samples: 20, max_examples: 60}
scoring: {fusion: none}
"""


@pytest.mark.slow
@pytest.mark.usefixtures("little_boosting")
def test_every_split_is_compared_with_each_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    commands: list[str] = []

    def run_here(_: Launch, *words: str | Path) -> None:
        commands.append(str(words[0]))
        with pytest.raises(SystemExit) as ended:
            cli.main([*map(str, words)])
        assert not ended.value.code

    monkeypatch.setattr(Launch, "run", run_here)
    make_synthetic(tmp_path / "made", users=40, items=80, ratings_per_user=20)
    (tmp_path / "small.yaml").write_text(CONFIG, encoding="utf-8")
    file = tmp_path / "quality_cold_to_warm.json"
    arguments = [
        *("--ratings", str(tmp_path / "made"), "--config", str(tmp_path / "small.yaml")),
        *("--shape", "tiny", "--tokenizer", str(tiny_tokenizer(tmp_path / "tokenizer"))),
        *("--splits", "items", "users", "--texts", "none", "--work", str(tmp_path / "work")),
        *("--result", str(file)),
    ]
    cold_to_warm.main(arguments)
    assert commands == ["prepare", "train", "evaluate"] * 2
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    assert str(tmp_path) not in json.dumps(result)
    assert [case["case"] for case in result["cases"]] == ["made, items", "made, users"]
    gaps = result["tuned_minus_each_other_scorer"]
    others = {gap["minus"] for gap in gaps if gap["case"] == "made, users"}
    assert {"base", "matrix factorization", "signals alone"} < others
    items, users = (
        {row["group"]: row["rows"] for row in result[table] if row["case"] == case}
        for table, case in (
            ("by_training_ratings_of_the_item", "made, items"),
            ("by_ratings_of_the_user", "made, users"),
        )
    )
    assert items["0"] > 0 == sum(rows for label, rows in items.items() if label != "0")
    # Two test users of 20 ratings, from their first on.
    assert users["0"] == users["1"] > 0
    assert render("quality_cold_to_warm", result).count("| made, items |") > 10
    assert capsys.readouterr().out.count("'best_baseline'") == 2
    cold_to_warm.main(arguments)  # nothing is trained again
    assert len(commands) == 6
