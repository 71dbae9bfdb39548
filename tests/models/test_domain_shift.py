"""An adapter is refused on data of another domain, unless its transfer is to be measured."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from reeltune.cli import main
from reeltune.config.domains import find_domain
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Domain, PromptSettings
from reeltune.errors import ModelError
from reeltune.models.loaded_model import load_model
from reeltune.models.prompt_record import PromptRecord, refuse_other_prompt, write_prompt_record
from reeltune.runs.folder import RunFolder
from reeltune.training.record import write_card
from reeltune.training.train import train
from tests.errors import error_code, raises_error
from tests.prepared_data import change_meta
from tests.runs import tiny_config, tiny_overrides

BOOK = find_domain("book")
FILMS = PromptSettings(form="interview")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    write_prompt_record(tmp_path, PromptRecord(FILMS, history_len=7, base_model="some/model"))
    return tmp_path


def test_another_domain_is_refused_by_name(adapter: Path):
    with raises_error(
        ModelError, "domain_differs", figures=["film", "book", "--allow-domain-shift"]
    ):
        refuse_other_prompt(adapter, replace(FILMS, domain=BOOK), 7)


def test_one_other_word_is_another_domain(adapter: Path):
    with raises_error(ModelError, "domain_differs", figures=["movie"]):
        refuse_other_prompt(adapter, replace(FILMS, domain=Domain(item="movie")), 7)


def test_a_record_without_a_domain_is_of_films(adapter: Path):
    assert "domain" not in json.loads((adapter / "prompt.json").read_text())["settings"]
    refuse_other_prompt(adapter, FILMS, 7)


def test_words_scale_and_threshold_may_shift_if_that_is_allowed(adapter: Path):
    ten = replace(FILMS, threshold=7.0, scale_min=1.0, scale_max=10.0)
    with raises_error(ModelError, "other_prompt", figures=["--allow-domain-shift", 10.0]):
        refuse_other_prompt(adapter, ten, 7)
    for wanted in (ten, replace(ten, domain=BOOK)):
        refuse_other_prompt(adapter, wanted, 7, domain_shift=True)


@pytest.mark.parametrize(("trained", "wanted"), [("a1", None), (None, "a1"), ("a1", "b2")])
def test_other_auxiliary_ratings_are_refused(tmp_path: Path, trained: str, wanted: str):
    record = PromptRecord(replace(FILMS, auxiliary=trained), history_len=7, base_model="a/model")
    write_prompt_record(tmp_path, record)
    refuse_other_prompt(tmp_path, replace(FILMS, auxiliary=trained), 7)
    with raises_error(ModelError, "other_prompt", figures=["auxiliary", trained, wanted]):
        refuse_other_prompt(tmp_path, replace(FILMS, auxiliary=wanted), 7)
    refuse_other_prompt(tmp_path, replace(FILMS, auxiliary=wanted), 7, domain_shift=True)


@pytest.mark.parametrize("changes", [{"form": "window"}, {"genres": True}], ids=str)
def test_nothing_else_may_shift(adapter: Path, changes: dict):
    wanted = replace(FILMS, domain=BOOK, **changes)
    with raises_error(ModelError, "other_prompt", figures=changes):
        refuse_other_prompt(adapter, wanted, 7, domain_shift=True)
    with raises_error(ModelError, "other_prompt", figures=["history_len", 7, 8]):
        refuse_other_prompt(adapter, replace(FILMS, domain=BOOK), 8, domain_shift=True)


@pytest.fixture(scope="module")
def shifted(tiny_qwen3, prepared, tmp_path_factory) -> tuple[Path, list[str]]:
    """A run on films, and the overrides for predicting books with it."""
    work = tmp_path_factory.mktemp("shift")
    run = train(tiny_config(tiny_qwen3, prepared.path, work, train__max_steps=2))
    books = work / "books"
    shutil.copytree(prepared.path, books)
    change_meta(books, lambda meta: meta["prompt"].update(domain=BOOK.to_dict()))
    return run, tiny_overrides(tiny_qwen3, books, work)


def call(overrides: list[str], command: str, *flags: str) -> int:
    sets = [part for override in overrides for part in ("--set", override)]
    with pytest.raises(SystemExit) as left:
        main([command, "--config", os.devnull, *sets, *flags])
    return int(left.value.code or 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("evaluate", []),
        ("compare", []),
        ("recommend", ["--user", "USER"]),
        ("score", ["--top", "2", "OUT"]),
        ("serve", ["--port", "0"]),
        ("export", ["--merged", "OUT"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_command_refuses_another_domain(
    shifted, prepared, tmp_path, capsys, command: str, flags: list[str]
):
    values = {"USER": str(prepared.timelines.user_id[0]), "OUT": str(tmp_path / "out")}
    assert call(shifted[1], command, *(values.get(flag, flag) for flag in flags)) == 6
    assert error_code(capsys.readouterr().err) == "domain_differs"


@pytest.mark.slow
def test_transfer_is_measured_beside_the_adapters_own_results(shifted):
    run, overrides = shifted
    card = (run / "README.md").read_bytes()
    quick = ("--no-baselines", "--ablations", "0", "--set", "evaluation.bootstrap_samples=10")
    assert call(overrides, "evaluate", *quick, "--allow-domain-shift") == 0
    folder = run / "evaluation-domain-shift"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["domain"] == BOOK.to_dict()
    assert "book popularity" in [breakdown["name"] for breakdown in metrics["breakdowns"]]
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "Newest books before it" in report
    assert not any(word in report for word in ("film popularity", "of the film", "Newest films"))
    assert not (run / "evaluation").exists()
    assert not (run / "calibration.json").exists()
    assert (run / "README.md").read_bytes() == card
    assert call(overrides, "compare", "--samples", "1", "--allow-domain-shift") == 0
    compared = json.loads((run / "comparison-test-domain-shift.json").read_text())
    assert compared["domain"] == BOOK.to_dict()


@pytest.mark.slow
def test_a_shifted_model_has_the_words_of_the_data(shifted, tiny_qwen3, tmp_path):
    run, _ = shifted
    changes = {"scoring__allow_domain_shift": True}
    books = PreparedFolder.open(run.parent / "books")
    loaded = load_model(tiny_config(tiny_qwen3, books.path, run.parent, **changes), run)
    assert (loaded.settings.domain, loaded.settings.form) == (BOOK, "window")
    assert "Book to judge:" in loaded.base.tokenizer.decode(loaded.tokens.pieces.before_candidate)


@pytest.mark.slow
def test_the_card_of_a_run_on_books_has_no_word_of_films(shifted, tmp_path):
    run = RunFolder(shifted[0])
    record = run.record()
    record["prompt"] |= {"domain": BOOK.to_dict(), "scale_min": 1.0, "scale_max": 10.0}
    write_card(tmp_path / "README.md", record, run.metrics())
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    for text in ("Given the books a user has rated", "rated books or more", "Another Book (2003)"):
        assert text in card
    assert not re.search(r"\b(films?|movies?|stars?|MovieLens)\b", card, re.I)
