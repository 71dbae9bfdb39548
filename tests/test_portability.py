"""Nothing needs fcntl or resource: both are refused to all but filelock and psutil."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# filelock and psutil have other modules for other systems.
REFUSE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name not in ("fcntl", "resource"):
            return None
        frame = sys._getframe(1)
        while "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if frame.f_globals["__name__"].startswith(("filelock", "psutil")):
            return None
        raise ModuleNotFoundError(f"no module {name} here", name=name)

for name in ("fcntl", "resource"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Refuse())
"""

IMPORT_ALL = """
import importlib, pkgutil, reeltune
from reeltune.cli import options
names = [each.name for each in pkgutil.walk_packages(reeltune.__path__, "reeltune.")]
with options.importing():
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)
print(len(names))
"""

WHOLE_WAY = """
from pathlib import Path
from reeltune.config import load_config
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings
from reeltune.models.loaded_model import load_model
from reeltune.offline.synthetic import make_synthetic
from reeltune.runs import environment
from reeltune.scoring.predictor import Predictor
from reeltune.training.train import train
from tests.runs import tiny_config
from tests.serve.running import running

environment._LINUX_STATUS = Path("nowhere")  # as on Windows and macOS

model, work = Path(sys.argv[1]), Path(sys.argv[2])
make_synthetic(work / "ratings", users=12, items=120, ratings_per_user=60)
prepare(work / "ratings", PrepareSettings(work / "prepared", history_len=3))
config = tiny_config(model, work / "prepared", work)
run = train(config)
with running(Predictor(load_model(config, run))) as service:
    health = service.client.get("/health").json()
    answer = service.post("/recommendations", history=[], top_k=2).json()
print(health["tuned"], len(answer["recommendations"]))
"""


def python(code: str, *args: str) -> tuple[str, str]:
    """Return the first and the last line that the code prints."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSE + code, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, *_, last = done.stdout.splitlines()
    return first, last


@pytest.mark.slow
def test_no_module_imports_what_only_unix_has():
    found = []
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            found += [(file.name, name) for name in names if name in ("fcntl", "resource")]
    assert found == []


@pytest.mark.slow
def test_without_the_modules_of_unix_every_module_is_imported_and_serves_what_it_trained(
    tiny_qwen3, tmp_path
):
    modules, answer = python(IMPORT_ALL + WHOLE_WAY, str(tiny_qwen3), str(tmp_path))
    assert int(modules) > 100
    assert answer == "True 2"
