"""The built package is whole: commands work from an installed wheel, away from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import httpx
import pytest

from reeltune import __version__
from reeltune.extras import EXTRAS
from tests.runs import tiny_overrides

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SOURCES = ("src", "configs", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")

# Runs several commands in one process, since each loads torch; ends with the first that fails.
COMMANDS = """
import json, sys
from pathlib import Path
import reeltune
from reeltune.cli import main

assert Path(reeltune.__file__).is_relative_to(sys.argv[1]), reeltune.__file__
for command in json.loads(sys.argv[2]):
    try:
        main(command)
    except SystemExit as left:
        if left.code:
            raise
"""


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built in a copy of the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    leftovers = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=leftovers)
        else:
            shutil.copy(source, copy / name)
    build = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
    python(copy, {}, "-c", build)
    (built,) = (copy / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """The wheel, built from the source distribution."""
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent, filter="data")
    unpacked = sdist.parent / sdist.name.removesuffix(".tar.gz")
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    python(unpacked, {}, "-c", build)
    (built,) = (unpacked / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel."""
    folder = tmp_path_factory.mktemp("site")
    flags = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    python(folder, {}, "-m", "pip", "install", *flags, "--target", str(folder), str(wheel))
    return folder


def installed(site: Path) -> dict[str, str]:
    """Return variables with which ``python -S`` imports the wheel, and not an editable install."""
    return {"PYTHONPATH": os.pathsep.join([str(site), sysconfig.get_path("purelib")])}


def python(folder: Path, variables: dict[str, str], *args: str) -> str:
    """Run Python in a folder, without the checkout on its path; return its output."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env=environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings(model: Path) -> list[str]:
    """Return flags for the smallest run."""
    overrides = tiny_overrides(
        model,
        Path("data/films"),
        Path("output"),
        train__max_steps=2,
        evaluation__max_examples=20,
        evaluation__bootstrap_samples=20,
        evaluation__ablation_examples=0,
    )
    return [word for value in overrides for word in ("--set", value)]


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel: Path):
    source = ROOT / "src"
    files = (path for path in (source / "reeltune").rglob("*") if path.is_file())
    wanted = {path.relative_to(source).as_posix() for path in files if path.suffix != ".pyc"}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"reeltune-{__version__}.dist-info/METADATA").decode()
    assert {name for name in names if not name.startswith("reeltune-")} == wanted
    assert f"reeltune-{__version__}.dist-info/licenses/LICENSE" in names
    fields = Parser().parsestr(metadata)
    assert {*EXTRAS, "all", "dev"} <= set(fields.get_all("Provides-Extra", []))


def test_the_source_distribution_holds_the_configurations(sdist: Path):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"configs/qwen3_movielens_qlora.yaml", "pyproject.toml", "LICENSE"} <= names


@pytest.mark.slow
def test_every_command_works_from_an_empty_folder(site: Path, tiny_qwen3: Path, tmp_path: Path):
    flags = settings(tiny_qwen3)
    shares = ["--val-fraction", "0.2", "--test-fraction", "0.2"]
    size = ["--users", "12", "--items", "40", "--ratings-per-user", "30"]
    commands = [
        ["init"],
        ["fetch", "synthetic", *size],
        ["prepare", "--ratings-dir", "dev_data", "--output-dir", "data/films", *shares],
        ["lengths", *flags],
        ["train", *flags],
        ["evaluate", *flags],
        ["recommend", *flags, "--user", "1", "--top", "3"],
        ["export", "--merged", "output/merged", *flags, "--rows", "20", "--dtype", "float32"],
    ]
    arguments = ["-S", "-c", COMMANDS, str(site), json.dumps(commands)]
    shown = python(tmp_path, installed(site), *arguments)
    assert "every prompt fits" in shown
    run = tmp_path / "output" / "run"
    assert (run / "adapter_model.safetensors").is_file()
    assert (run / "README.md").is_file()
    assert "<svg" in (run / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "output" / "merged" / "model.safetensors").is_file()

    serve = ["serve", *flags, "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-S", str(site / "bin" / "reeltune"), *serve],
        cwd=tmp_path,
        env=os.environ | installed(site),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        line = next((text for text in process.stdout if text.startswith("serving at ")), "")
        try:
            check_service(line.split()[2])
        finally:
            process.terminate()
    assert process.returncode == 0


def check_service(address: str) -> None:
    """Request the page with its files, the description of the API, and a prediction."""
    with httpx.Client(base_url=address, timeout=60) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert "<!doctype html>" in page.text.lower()
        assert client.get("/page.js").status_code == 200
        assert client.get("/docs").status_code == 200
        known = client.get("/items").json()["items"]
        history = [{"item_id": known[0]["item_id"], "rating": 4.0}]
        body = {"history": history, "item_ids": [known[1]["item_id"]]}
        answer = client.post("/predictions", json=body).json()
        assert 0 < answer["predictions"][0]["p_like"] < 1
