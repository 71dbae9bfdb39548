"""The four commands of the README, exactly as written there, one after another."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.tables import difference_line
from reeltune.offline.synthetic import make_synthetic

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def checkout(tiny_qwen3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to stand in: the default configuration, made-up ratings where the edition would be
    and a tiny model under the default model's name, which loads before the hub is asked.

    Packed rows are as short as a few users' ratings, so that an epoch has several steps.
    """
    folder = tmp_path_factory.mktemp("checkout")
    make_synthetic(folder / "data/raw/ml-latest-small", users=12, items=80, ratings_per_user=45)
    shutil.copytree(tiny_qwen3, folder / "Qwen/Qwen3-0.6B")
    shutil.copytree(ROOT / "configs", folder / "configs")
    config = folder / "configs/qwen3_movielens_qlora.yaml"
    tree = yaml.safe_load(config.read_text())
    tree["train"] |= {"block_size": 8, "pack_length": 2048, "batch_size": 1}
    tree["data"] |= {"max_train_examples": 80}
    config.write_text(yaml.safe_dump(tree))
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    return folder


@pytest.mark.slow
def test_the_mission_from_ratings_to_comparison(checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout)

    def run(line: str) -> str:
        """Run a script as ``__main__`` in this process, which has imported torch; as written."""
        python, *words = line.split()
        assert python == "python"
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as left:
            runpy.run_path(words[0], run_name="__main__")
        assert not left.value.code
        return capsys.readouterr().out

    run(
        "python scripts/prepare_movielens.py --output-dir data/movielens_qwen3 "
        "--history-len 15 --rating-threshold 4.0",
    )
    meta = json.loads((checkout / "data/movielens_qwen3/meta.json").read_text())
    assert meta["counts"]["train"] > 0
    train = json.loads((checkout / "data/movielens_qwen3/train.json").read_text())
    assert len(train) == meta["counts"]["train"]

    config = "--config configs/qwen3_movielens_qlora.yaml"
    shown = run(f"python scripts/check_seq_len.py {config} --percentiles 50,90,95,99,100")
    assert f"train: {meta['counts']['train']} prompts, lengths in tokens" in shown
    assert "p50 " in shown
    assert "every prompt fits" in shown
    assert "every block" in shown
    shown = run(
        f"python scripts/check_seq_len.py {config} --percentiles 50,90,95,99,100 --char-only",
    )
    assert "lengths in characters" in shown

    shown = run(f"python scripts/finetune_lora.py {config}")
    assert "[4/4] save" in shown
    adapter = checkout / "output/qwen3-movielens-qlora"
    assert (adapter / "adapter_model.safetensors").is_file()
    assert (checkout / ".cache/preprocessed/train_preprocessed/dataset_info.json").is_file()
    assert (checkout / ".cache/preprocessed/eval_preprocessed/state.json").is_file()

    shown = run("python scripts/infer_lora.py")
    assert "base" in shown
    assert "tuned" in shown
    found = json.loads((adapter / "comparison-test.json").read_text())
    assert found["metrics"]["base"]["rows"] == meta["counts"]["test"]
    assert found["metrics"]["tuned"]["rows"] == meta["counts"]["test"]
    assert len(found["samples"]) == 6
    interval = Interval(**found["auc_difference"])
    assert interval.low <= interval.high
    assert difference_line(interval) in " ".join(shown.split())
    # training moved the model: it can hardly be worse than not knowing the form of the answer
    assert found["metrics"]["tuned"]["log_loss"] != found["metrics"]["base"]["log_loss"]
