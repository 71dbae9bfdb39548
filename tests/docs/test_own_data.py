"""The lesson on data of one's own, run command by command with a tiny model and few steps."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from reeltune.baselines.score import BASELINES, WITH_TEXT, score_baselines, text_baselines
from reeltune.cli import main
from reeltune.data.columns import TEST, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.offline.synthetic_books import make_synthetic_books
from tests import forked
from tests.docs.pages import ROOT, blocks
from tests.helpers import small_baselines

PAGE = ROOT / "docs" / "OWN_DATA.md"
NOT_RUN = ("fetch smollm2-135m",)
FEW = (
    *("--set", "train.max_steps=2", "--set", "train.eval_steps=2", "--set", "train.save_steps=2"),
    *("--set", "train.pack_length=4096", "--set", "data.max_train_examples=60"),
    *("--set", "model.dtype=float32", "--set", "data.max_eval_examples=10"),
)
EXTRA = {
    "train": FEW,
    "evaluate": (*FEW, "--max-examples", "20", "--set", "evaluation.ablation_examples=0"),
    "recommend": (*FEW, "--set", "serving.default_candidates=10"),
}


def commands() -> list[list[str]]:
    lines = [line for block in blocks(PAGE) for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("reeltune ")]


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(words)
    shown = capsys.readouterr()
    assert not ended.value.code, shown.err
    return shown.out


@pytest.mark.slow
def test_the_lesson_runs_from_tables_to_a_page(
    tiny_llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_llama, tmp_path / "models/smollm2-135m")
    (config,) = (block for block in blocks(PAGE) if block.startswith("model:"))
    (tmp_path / "books.yaml").write_text(config, encoding="utf-8")
    *before, serve = [words for words in commands() if " ".join(words) not in NOT_RUN]
    assert [words[0] for words in before] == [
        *("fetch", "prepare", "check", "lengths", "train", "evaluate", "recommend", "recommend")
    ]
    shown = {}
    with small_baselines():
        for words in before:
            shown[words[0]] = run([*words, *EXTRA.get(words[0], ())], capsys)
            no_words_of_films(shown[words[0]])
    assert "item=isbn" in shown["prepare"] and "8 of 10" in shown["prepare"]
    no_words_of_films(
        re.sub(
            r"<style>.*?</style>|<script>.*?</script>",
            "",
            (tmp_path / "output/books/evaluation/report.html").read_text(encoding="utf-8"),
            flags=re.DOTALL,
        )
    )
    page_is_about_books(serve)


def page_is_about_books(serve: list[str]) -> None:
    """Serve, and look at the page and at the first answer to somebody without any rating."""
    command = [sys.executable, "-m", "reeltune", *serve, *FEW, "--port", "0"]
    with forked.Popen(command, stdout=forked.PIPE, stderr=forked.STDOUT, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("serving at "):
                break
        assert lines[-1].startswith("serving at "), "".join(lines)
        address = lines[-1].split()[2]
        with httpx.Client(base_url=address, timeout=60) as client:
            page = client.get("/").text
            answer = client.post("/recommendations", json={"history": [], "top_k": 3}).json()
        process.terminate()
    assert "book" in page
    no_words_of_films(page)
    isbns = [given["item"]["item_id"] for given in answer["recommendations"]]
    assert len(isbns) == 3
    assert all(re.fullmatch(r"\d{10}", isbn) for isbn in isbns)


def no_words_of_films(text: str) -> None:
    found = re.findall(r".{0,40}\b(?:films?|movies?|stars?)\b.{0,40}", text, re.IGNORECASE)
    assert not found


@pytest.mark.slow
def test_a_method_that_reads_wins_on_books_that_nobody_has_rated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    make_synthetic_books(tmp_path / "raw", users=800, items=240, seed=1)
    run(
        [
            *("prepare", "--ratings", str(tmp_path / "raw/ratings.csv")),
            *("--items", str(tmp_path / "raw/books.csv"), "--domain", "book"),
            *("--item-text", "author,genre", "--min-history", "0", "--split", "items"),
            *("--val-fraction", "0.1", "--test-fraction", "0.2", "--no-json", "--no-fit"),
            *("--output-dir", str(tmp_path / "books")),
        ],
        capsys,
    )
    folder = PreparedFolder.open(tmp_path / "books")
    splits = [np.flatnonzero(folder.ratings.split == split) for split in (VALIDATION, TEST)]
    readers = {"without text": BASELINES["gradient boosting"], **text_baselines(())}
    scores = score_baselines(folder, *splits, seed=0, baselines=readers)
    liked = folder.ratings.liked[splits[1]]
    auc = {name: roc_auc_score(liked, score.test) for name, score in scores.items()}
    assert auc[WITH_TEXT] > auc["without text"] + 0.05
