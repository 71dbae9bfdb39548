"""Training, its configuration and evaluation through the Python API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reeltune
from reeltune.api.runs import as_config
from reeltune.config import load_config
from reeltune.config.presets import PRESETS
from reeltune.errors import ConfigError, RunError
from tests.errors import raises_error


def test_a_run_gives_its_metrics_adapter_and_configuration(run: reeltune.Run):
    assert run.metrics == json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
    assert (run.adapter / "adapter_model.safetensors").is_file()
    assert run.config.train.output_dir == run.folder
    assert run.config.train.max_steps == 2


def test_a_configuration_can_be_given_in_every_form():
    file = PRESETS["demo_cpu"]
    expected = load_config(file, ["train.epochs=7", "lora.r=4"])
    changes = {"train.epochs": 7, "lora": {"r": 4}}
    for config in (file, str(file), "demo_cpu", load_config(file)):
        assert as_config(config, changes) == expected
    assert as_config(changes) == load_config(None, ["train.epochs=7", "lora.r=4"])
    assert as_config(None) == reeltune.Config()


def test_what_is_wrong_with_a_configuration_is_an_error(tmp_path: Path):
    with raises_error(ConfigError, "unknown_key", where="train.epoch"):
        reeltune.train({"train.epoch": 2})
    with raises_error(ConfigError, "config_not_readable", where="absent.yaml"):
        reeltune.train(tmp_path / "absent.yaml")
    with raises_error(RunError, "not_a_run", where="absent"):
        reeltune.evaluate(tmp_path / "absent")
    with raises_error(ConfigError, "run_or_config"):
        reeltune.evaluate()


@pytest.mark.slow
def test_an_evaluation_has_a_table_with_own_metrics_and_a_report(run: reeltune.Run, tmp_path: Path):
    def positives(labels: Any, p_yes: Any, users: Any) -> float:
        assert len(labels) == len(p_yes) == len(users)
        return float(np.mean(labels))

    overrides = {"evaluation.baselines": False, "evaluation.ablation_examples": 0}
    evaluation = reeltune.evaluate(
        run,
        split="validation",  # an evaluation of test rows writes into the run
        metrics={"positives": positives},
        overrides=overrides,
        output=tmp_path / "out",
    )
    table = evaluation.table(intervals=True)
    assert table["scorer"].to_list() == ["tuned", "base"]
    assert table["positives"].to_list() == pytest.approx([evaluation.result.positive_rate] * 2)
    assert {"auc", "auc_low", "auc_high"} <= set(table.columns)
    assert table.select(evaluation.table().columns).equals(evaluation.table())
    assert not (tmp_path / "out" / "report.html").exists()
    report = evaluation.report(tmp_path / "named")
    assert report == tmp_path / "named" / "report.html"
    assert report.is_file()
    written = json.loads((tmp_path / "named" / "metrics.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in written["scorers"]] == ["tuned", "base"]
