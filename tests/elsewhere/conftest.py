"""Trained runs of both kinds of model and both forms, with reeltune's predictions on some rows."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from reeltune.cli import main
from reeltune.config import load_config
from reeltune.data.folder import PreparedFolder
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.scoring.scorer import Scorer
from reeltune.training.train import train
from tests.elsewhere.snippets import command_lines
from tests.helpers import Kind
from tests.runs import tiny_config, tiny_overrides

_CASES: list[tuple[Kind, str]] = [
    ("qwen3", "window"),
    ("qwen3", "interview"),
    ("llama", "window"),
    ("llama", "interview"),
]
# As Qwen3-0.6B and SmolLM2 have it: neither is what configurations or converters take by default
# for both kinds.
_ROPE_THETA = {"qwen3": 1_000_000.0, "llama": 100_000.0}
_ROWS = 4


@dataclass(frozen=True)
class Case:
    """A run and the rows to predict.

    Attributes:
        run: The run folder.
        overrides: What it was trained with.
        subject: It, loaded by reeltune.
        told: What scripts are told of each of a few rows.
        p_yes: reeltune's predictions on those rows.
        untuned: Those of the base model.
    """

    run: Path
    overrides: list[str]
    subject: LoadedModel
    told: list[list[str]]
    p_yes: npt.NDArray[np.float64]
    untuned: npt.NDArray[np.float64]

    def export(self, target: Path, dtype: str) -> Path:
        """Export merged weights with any drift."""
        sets = [part for override in self.overrides for part in ("--set", override)]
        args = ["--config", os.devnull, *sets, "--adapter", str(self.run), "--merged", str(target)]
        with pytest.raises(SystemExit) as left:
            main(["export", *args, "--dtype", dtype, "--rows", "4", "--allow-drift"])
        assert not left.value.code
        return target


def outspoken(tiny: Path, folder: Path, kind: Kind) -> Path:
    """Copy a tiny model with larger weights, so that predictions depend on films and order."""
    shutil.copytree(tiny, folder)
    weights = load_file(folder / "model.safetensors")
    larger = {
        name: weight * 5 if name.endswith(("_proj.weight", "model.norm.weight")) else weight
        for name, weight in weights.items()
    }
    save_file(larger, folder / "model.safetensors", {"format": "pt"})
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["rope_parameters"]["rope_theta"] = _ROPE_THETA[kind]
    file.write_text(json.dumps(config))
    if kind == "llama":
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.bos_token = "<|im_start|>"  # as SmolLM2's
        tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", params=_CASES, ids="-".join)
def case(
    request: pytest.FixtureRequest,
    prepared: PreparedFolder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Case:
    """A short run in float32."""
    kind, form = cast("tuple[Kind, str]", request.param)
    work = tmp_path_factory.mktemp(f"{kind}-{form}")
    base = outspoken(request.getfixturevalue(f"tiny_{kind}"), work / "base", kind)
    overrides = tiny_overrides(base, prepared.path, work, prompt__form=form)
    run = train(tiny_config(base, prepared.path, work, prompt__form=form))
    subject = load_model(load_config(None, overrides), run)
    rows = subject.rows("test")
    scored = Scorer.checked(subject, rows.sequences).score(rows.sequences).p_yes
    with subject.without_adapter():
        untuned = Scorer.checked(subject, rows.sequences).score(rows.sequences).p_yes
    some = np.linspace(0, len(rows) - 1, _ROWS).astype(int)
    told = list(command_lines(subject))
    chosen = [told[row] for row in some]
    return Case(run, overrides, subject, chosen, scored[some], untuned[some])
