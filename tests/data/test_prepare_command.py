"""The command: its flags reach the pipeline, and it is light."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reeltune.cli import app
from reeltune.cli import prepare as command
from reeltune.errors import ConfigError, DataError, ReeltuneError
from reeltune.fetch import install
from reeltune.fetch.install import Fetched
from tests.errors import error_code, raises_error

from .editions import items, timeline, write_edition


@pytest.fixture
def source(tmp_path):
    return write_edition(tmp_path / "in", timeline(1, 60), items(60))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run ``prepare`` in an empty working folder; errors are raised."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def call(*args: object) -> str:
        result = CliRunner().invoke(app, ["prepare", *map(str, args)])
        if isinstance(result.exception, ReeltuneError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return call


def meta(folder: Path) -> dict:
    return json.loads((folder / "meta.json").read_text())


def test_defaults(run, source) -> None:
    output = run("--ratings-dir", source)
    found = meta(Path("data/movielens_qwen3"))
    assert found["settings"] == {
        "history_len": 15,
        "min_history": 15,
        "rating_threshold": 4.0,
        "split": "user",
        "val_fraction": 0.05,
        "test_fraction": 0.1,
        "val_from": None,
        "test_from": None,
        "genres": False,
        "skip_bad_rows": False,
        "export": "chat",
    }
    assert found["counts"]["examples"] == 45
    for fact in ("60 ratings", "60 events", "train.json", "data/movielens_qwen3"):
        assert fact in output


def test_every_flag_reaches_the_settings(run, source) -> None:
    with (source / "ratings.csv").open("a") as stream:
        stream.write("2,10,9,5\n")
    output = run(
        *("--ratings-dir", source, "--edition", "my-films", "--output-dir", "made"),
        *("--history-len", 10, "--min-history", 5, "--rating-threshold", 3.5, "--genres"),
        *(
            "--split",
            "time",
            "--val-from",
            "1970-01-12T13:47",
            "--test-from",
            "1970-01-12T13:47:20",
        ),
        *("--skip-bad-rows", "--format", "alpaca"),
    )
    found = meta(Path("made"))
    assert found["edition"] == "my-films"
    assert found["settings"] == {
        "history_len": 10,
        "min_history": 5,
        "rating_threshold": 3.5,
        "split": "time",
        "val_fraction": None,
        "test_fraction": None,
        "val_from": {"seconds": 1_000_020, "iso": "1970-01-12T13:47:00+00:00"},
        "test_from": {"seconds": 1_000_040, "iso": "1970-01-12T13:47:20+00:00"},
        "genres": True,
        "skip_bad_rows": True,
        "export": "alpaca",
    }
    for fact in ("1 rating_off_scale", "ratings.csv, line 62: 9", "1970-01-12T13:47:00+00:00"):
        assert fact in output


def test_shares_and_no_json(run, source) -> None:
    run("--ratings-dir", source, "--val-fraction", 0.2, "--test-fraction", 0.4, "--no-json")
    found = meta(Path("data/movielens_qwen3"))
    counts = found["counts"]
    assert (counts["train"], counts["validation"], counts["test"]) == (18, 9, 18)
    assert found["settings"]["export"] is None


@pytest.mark.parametrize(
    ("args", "code", "flags"),
    [
        (["--no-json", "--format", "chat"], "format_without_json", ["--format", "--no-json"]),
        (
            ["--split", "time", "--val-fraction", "0.1", "--val-from", "2015-01-01"],
            "bad_split_dates",
            ["--val-fraction", "--test-fraction", "--val-from", "--test-from"],
        ),
        (
            ["--val-from", "2015-01-01", "--test-from", "2016-01-01"],
            "dates_need_time_split",
            ["--split time"],
        ),
        (["--ratings-dir", "nowhere", "--download"], "ratings_dir_missing", ["--ratings-dir"]),
    ],
)
def test_contradicting_flags(run, args, code, flags) -> None:
    with raises_error(ConfigError, code, figures=flags):
        run(*args)
    assert not Path("data").exists()


def test_no_download_says_what_to_do(run) -> None:
    with raises_error(
        DataError, "edition_not_downloaded", where="data/raw/ml-1m", figures=["reeltune fetch 1M"]
    ):
        run("--edition", "1M", "--no-download")


@pytest.fixture
def fetched(monkeypatch) -> list[str]:
    """Replace downloading by writing a tiny edition; returns the names asked for."""
    names: list[str] = []

    def fake(edition, into, *, options=None) -> Fetched:
        assert options is not None
        names.append(edition.name)
        folder = write_edition(into / edition.name, timeline(1, 60), items(60))
        return Fetched(folder, "test", "nothing")

    monkeypatch.setattr(install, "fetch_edition", fake)
    return names


@pytest.mark.parametrize("flags", [[], ["--download"]])
def test_missing_edition_is_fetched_aloud(run, fetched, flags) -> None:
    output = run(*flags)
    assert fetched == ["ml-latest-small"]
    assert "data/raw/ml-latest-small" in output
    assert "GroupLens" in output
    assert meta(Path("data/movielens_qwen3"))["edition"] == "ml-latest-small"


@pytest.mark.parametrize("flags", [[], ["--download"], ["--no-download"]])
def test_edition_that_is_there_is_used(run, fetched, flags) -> None:
    write_edition(Path("data/raw/ml-20m"), timeline(1, 60), items(60))
    run("--edition", "20m", *flags)
    assert fetched == []
    assert meta(Path("data/movielens_qwen3"))["edition"] == "ml-20m"


def test_ratings_dir_that_is_there_needs_no_download(run, fetched, source) -> None:
    run("--ratings-dir", source, "--download")
    assert fetched == []


def test_nothing_is_downloaded_for_an_output_that_is_refused(run, fetched) -> None:
    Path("taken").mkdir()
    Path("taken/mine.txt").touch()
    with raises_error(DataError, "output_not_replaceable", where="taken"):
        run("--output-dir", "taken")
    assert fetched == []


LIGHT_PIPELINE = """
import sys
from pathlib import Path
from rich.console import Console
from reeltune.data.prepare import prepare
from reeltune.data.meta import print_report
from reeltune.data.settings import PrepareSettings

print_report(prepare(Path(sys.argv[1]), PrepareSettings(Path(sys.argv[2]))), Console())
heavy = ("torch", "transformers", "trl", "datasets")
print("loaded", [name for name in heavy if name in sys.modules])
"""

LIGHT_COMMAND = """
import importlib.util, sys
import typer

spec = importlib.util.spec_from_file_location("prepare_command", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
heavy = ("polars", "pyarrow", "numpy", "torch")
print("loaded", [name for name in heavy if name in sys.modules])
"""


def python(*args: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, args)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_preparing_never_loads_torch_or_transformers(source, tmp_path) -> None:
    assert "loaded []" in python("-c", LIGHT_PIPELINE, source, tmp_path / "out")


def test_the_command_module_loads_nothing_heavy() -> None:
    assert "loaded []" in python("-c", LIGHT_COMMAND, command.__file__)


@pytest.mark.slow
def test_the_script_takes_the_same_flags_and_exits_by_kind_of_error(source, tmp_path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "prepare_movielens.py"
    output = tmp_path / "out"
    printed = python(script, "--ratings-dir", source, "--output-dir", output, "--history-len", 20)
    assert str(output) in printed
    assert meta(output)["settings"]["history_len"] == 20

    failed = subprocess.run(
        [sys.executable, str(script), "--ratings-dir", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert failed.returncode == DataError.exit_code
    assert len(failed.stderr.splitlines()) == 1
    assert error_code(failed.stderr) == "ratings_not_found"
    assert str(tmp_path / "nowhere") in failed.stderr


def test_the_words_of_a_domain(run, source) -> None:
    output = run("--ratings-dir", source, "--domain", "book")
    prepared = Path("data/movielens_qwen3")
    domain = {"name": "book", "item": "book", "items": "books"}
    assert meta(prepared)["prompt"]["domain"] == domain
    assert "60 books" in output
    examples = (prepared / "train.json").read_text(encoding="utf-8")
    assert "a user will like a book" in examples
    assert "film" not in output.lower()


def test_a_domain_that_is_unknown(run, source) -> None:
    with raises_error(ConfigError, "config_not_readable", where="boook", figures=["book, game"]):
        run("--ratings-dir", source, "--domain", "boook")
    assert not Path("data").exists()
