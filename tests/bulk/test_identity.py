"""The identity covers everything that changes a prediction, by content."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reeltune.bulk.lookup import Lookup
from reeltune.bulk.output import Output
from reeltune.bulk.score import Job, Options, Outcome, score
from reeltune.bulk.tasks import Pairs
from reeltune.config import Config, config_tree
from reeltune.data.folder import PreparedFolder
from reeltune.domain import GP_HYPERPARAMETERS
from reeltune.errors import ModelError, RunError
from reeltune.models.calibration import Calibration, write_calibration
from reeltune.models.choices import make_choices
from reeltune.models.load import add_adapter, load_base
from reeltune.models.loaded_model import load_model
from reeltune.models.prompt_record import PromptRecord, write_prompt_record
from reeltune.progress import no_progress
from reeltune.prompts.rows import prompt_settings
from reeltune.runs.folder import RunFolder
from reeltune.scoring.predictor import Predictor
from tests.bulk.build import Row, open_pairs, output_rows, p_yes_alone, write_rows
from tests.errors import raises_error
from tests.helpers import write_prepared
from tests.prepared_data import set_process
from tests.runs import of_a_file, tiny_config

ROWS = [Row(1, 1), Row(11, 4), Row(1, 7)]
WEIGHTS = "adapter_model.safetensors"


@dataclass
class Setting:
    """Everything output_rows depend on, each in a place of its own."""

    work: Path

    def config(self, **changes: str) -> Config:
        return tiny_config(self.work / "model", self.work / "prepared", self.work, **changes)

    def score(self, adapter: bool = True, **changes: str) -> Outcome:
        """Score the table, with the adapter or without."""
        return score(lambda: self._job(adapter, of_a_file(self.config(**changes))), no_progress)

    def _job(self, adapter: bool, config: Config) -> Job:
        table = self.work / "in.parquet"

        def make(_: PreparedFolder, lookup: Lookup) -> Pairs:
            return open_pairs(table, lookup, 2)

        run = self.work / "adapter" if adapter else None
        return Job.open(config, run, make, Output(self.out), Options())

    @property
    def out(self) -> Path:
        return self.work / "out"


def make_adapter(folder: Path, config: Config) -> None:
    """Save an adapter that changes every prediction, as a run would leave it."""
    model = add_adapter(load_base(config, make_choices(config)), config)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    model.save_pretrained(str(folder))
    data = PreparedFolder.open(config.data.prepared_dir)
    settings = prompt_settings(data, config.prompt)
    write_prompt_record(folder, PromptRecord(settings, data.history_len, "tiny"))
    write_calibration(
        folder, Calibration(9, "window", True, 3.0, (0.5, 0.2), (0.0, 1.0), (0.2, 0.4))
    )


@pytest.fixture
def setting(tiny_qwen3, prepared, tmp_path) -> Setting:
    """A table that was scored with an adapter."""
    shutil.copytree(tiny_qwen3, tmp_path / "model")
    shutil.copytree(prepared.path, tmp_path / "prepared")
    write_rows(tmp_path / "in.parquet", ROWS)
    made = Setting(tmp_path)
    make_adapter(tmp_path / "adapter", made.config())
    made.score()
    return made


def change_weights(file: Path) -> None:
    weights = load_file(file)
    save_file({name: weight * 1.01 for name, weight in weights.items()}, file, {"format": "pt"})


def touch(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


def test_each_change_is_named(setting):
    def refused(**changes) -> str:
        with raises_error(RunError, "output_of_other_inputs") as error:
            setting.score(**changes)
        return str(error.value)

    assert setting.score().already_done
    assert "adapter: None" not in (message := refused(adapter=False))
    assert "adapter.adapter_model.safetensors" in message
    assert "adapter.calibration: none -> temperature" in refused(scoring__calibration="temperature")
    assert "model.dtype: float32 -> bfloat16" in refused(model__dtype="bfloat16")
    # What changes rounding, or the learning of another run, changes no answer.
    assert setting.score(scoring__tokens_per_batch="4096", train__epochs="3").already_done


@pytest.mark.parametrize(
    ("change", "file", "named"),
    [
        (change_weights, f"adapter/{WEIGHTS}", f"adapter.{WEIGHTS}"),
        (touch, "adapter/adapter_config.json", "adapter.adapter_config.json"),
        (change_weights, "model/model.safetensors", "model.files.model.safetensors"),
        (touch, "model/chat_template.jinja", "model.files.chat_template.jinja"),
    ],
)
def test_files_count_by_content(setting, change, file, named):
    change(setting.work / file)
    with raises_error(RunError, "output_of_other_inputs") as error:
        setting.score()
    assert f"({named}: " in str(error.value)
    assert "; " not in str(error.value)


def test_other_data_are_named(setting):
    write_prepared(setting.work / "prepared", seed=1)
    with raises_error(RunError, "output_of_other_inputs", figures=["data.timelines.parquet"]):
        setting.score()


def test_paths_are_not_part_of_the_identity(setting, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved") / "all"
    shutil.copytree(setting.work, moved)
    assert Setting(moved).score().already_done


@pytest.mark.slow
def test_the_prompt_of_the_adapters_run_overrides_the_configuration(setting):
    record = {"rows": {"train": 9}, "config": config_tree(setting.config())}
    RunFolder(setting.work / "adapter").write_record(record)
    assert setting.score(prompt__form="interview").already_done
    shutil.rmtree(setting.out)
    setting.score(prompt__form="interview")
    assert setting.score().already_done


@pytest.mark.slow
@pytest.mark.parametrize("method", ["none", "temperature", "platt", "isotonic"])
def test_the_adapter_predicts_and_is_calibrated_as_configured(setting, method):
    shutil.rmtree(setting.out)
    setting.score(scoring__calibration=method)
    found = [row["p_yes"] for row in output_rows(setting.out)]
    config = setting.config(scoring__calibration=method)
    tuned = Predictor(load_model(config, setting.work / "adapter"))
    np.testing.assert_allclose(found, [p_yes_alone(tuned, row) for row in ROWS], atol=1e-6)
    base = Predictor(load_model(config, None))
    assert np.abs(np.array(found) - [p_yes_alone(base, row) for row in ROWS]).min() > 1e-4
    identity = json.loads((setting.out / "manifest.json").read_text())["identity"]["adapter"]
    assert identity["calibration"] == method
    assert ("calibration.json" in identity) == (method != "none")


@pytest.mark.slow
def test_another_calibration_is_another_identity(setting):
    shutil.rmtree(setting.out)
    setting.score(scoring__calibration="temperature")
    file = setting.work / "adapter" / "calibration.json"
    file.write_text(file.read_text().replace("3.0", "2.0"))
    changed = ["(adapter.calibration.json: "]
    with raises_error(RunError, "output_of_other_inputs", figures=changed):
        setting.score(scoring__calibration="temperature")


def test_an_adapter_without_weights(setting):
    (setting.work / "adapter" / WEIGHTS).unlink()
    with raises_error(ModelError, "adapter_not_found", figures=[WEIGHTS]):
        setting.score()


def test_hyperparameters_of_the_adapter_make_its_prompts(setting, caplog):
    config = setting.config(prompt__signals="[expected]")
    data, adapter = setting.work / "prepared", setting.work / "adapter"
    set_process(data, replace(GP_HYPERPARAMETERS, noise=9.0, spread=1.5))
    shutil.rmtree(adapter)
    make_adapter(adapter, config)
    shutil.rmtree(setting.out)
    setting.score(prompt__signals="[expected]")
    trained = load_model(config, adapter)
    set_process(data, replace(GP_HYPERPARAMETERS, noise=0.01))
    caplog.set_level("INFO")
    again = load_model(config, adapter)
    assert "hyperparameters of the adapter" in caplog.text
    assert again.settings == trained.settings
    codes = trained.folder.timelines.context
    assert np.array_equal(again.folder.timelines.context, codes)
    assert not np.array_equal(load_model(config).folder.timelines.context, codes)
    assert setting.score(prompt__signals="[expected]").already_done
    with raises_error(RunError, "output_of_other_inputs") as error:
        setting.score(adapter=False, prompt__signals="[expected]")
    assert "prompt.gaussian_process.noise: 9.0 -> 0.01" in str(error.value)
