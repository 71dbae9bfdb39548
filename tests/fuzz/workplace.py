"""What damaged inputs are made from: an edition, prepared data, a tiny model and a trained run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from reeltune.data.folder import PreparedFolder


@dataclass(frozen=True)
class Workplace:
    """A folder that is built once and then only read."""

    path: Path

    @property
    def edition(self) -> Path:
        """Synthetic ratings in CSV files."""
        return self.path / "edition"

    @property
    def prepared(self) -> Path:
        """The prepared folder of these ratings."""
        return self.path / "prepared"

    @property
    def other_prepared(self) -> Path:
        """A prepared folder of other ratings."""
        return self.path / "other_prepared"

    @property
    def model(self) -> Path:
        """A tiny base model."""
        return self.path / "model"

    @property
    def run(self) -> Path:
        """A run of a few steps, on the base model and the prepared folder."""
        return self.path / "run"

    @property
    def other_adapter(self) -> Path:
        """An earlier checkpoint of the run, with other weights."""
        return self.run / "checkpoint-2"

    @cached_property
    def folder(self) -> PreparedFolder:
        """The opened prepared folder."""
        return PreparedFolder.open(self.prepared)

    @classmethod
    def build(cls, path: Path) -> Workplace:
        """Build everything in an empty or missing folder."""
        from reeltune.api.data import prepare
        from reeltune.api.runs import train
        from reeltune.config import config_tree
        from reeltune.offline.synthetic import make_synthetic
        from tests.helpers import tiny_model
        from tests.runs import tiny_config

        os.environ["HF_HUB_OFFLINE"] = "1"
        place = cls(path)
        for seed, output in enumerate((place.prepared, place.other_prepared)):
            raw = place.edition if seed == 0 else path / "other_edition"
            make_synthetic(raw, users=8, items=30, ratings_per_user=22, seed=seed)
            prepare(raw, output, history_len=3, val_fraction=0.2, test_fraction=0.2)
        tiny_model(place.model, "llama")
        changes = {"prompt__form": "interview", "train__batch_size": 1}
        train(config_tree(tiny_config(place.model, place.prepared, path, **changes)))
        return place
