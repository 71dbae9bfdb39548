from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from reeltune.data.folder import PreparedFolder
from tests.helpers import tiny_tokenizer


@pytest.fixture
def config(tmp_path: Path, prepared: PreparedFolder) -> Path:
    tree = {
        "model": {"name_or_path": str(tiny_tokenizer(tmp_path / "tokenizer"))},
        "prompt": {"form": "window", "signals": []},
        "data": {"prepared_dir": str(prepared.path), "max_length": 2048},
        "train": {"pairwise_weight": 0},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return tmp_path / "config.yaml"
