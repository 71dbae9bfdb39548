"""Fixtures that several packages' tests share. Only those of tests/registries.py use a network."""

from __future__ import annotations

import os

# Set before any library that reads it is imported: no test may use the hub.
os.environ["HF_HUB_OFFLINE"] = "1"
# Tiny models gain nothing from threads, and lose ten times the time where cores are shared.
os.environ["OMP_NUM_THREADS"] = "1"

import gc
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from reeltune.data.folder import PreparedFolder
from tests import registries
from tests.helpers import small_baselines, tiny_model, write_prepared
from tests.prepared_data import with_text_ids

# No test may fail because the machine is busy, or draw other examples in another run.
settings.register_profile(
    "reeltune", deadline=None, max_examples=60, derandomize=True, database=None
)
settings.load_profile("reeltune")


def trains(item: pytest.Item) -> bool:
    """Return whether a fixture that tests share trains a model for this one if it comes first."""
    fixtures = [each[-1] for each in getattr(item, "_fixtureinfo").name2fixturedefs.values()]  # noqa: B009
    return any(
        {"train", "_trained"} & set(each.func.__code__.co_names)
        for each in fixtures
        if each.scope != "function"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of trained models as slow; skip tests for a CUDA device where there is none."""
    for item in items:
        if trains(item):
            item.add_marker(pytest.mark.slow)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


def pytest_collection_finish() -> None:
    """Never search what was imported for garbage: each training does, for half a second."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, bool, bool]:
    """Leave out what a test is the first to import, too."""
    before = len(sys.modules)
    done = yield
    if len(sys.modules) > before + 100:
        gc.freeze()
    return done


@pytest.fixture(scope="session")
def tiny_qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Qwen3 model and its tokenizer; read it, never write to it."""
    return tiny_model(tmp_path_factory.mktemp("models") / "qwen3", "qwen3")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Llama model and a tokenizer like SmolLM2's; read it, never write."""
    return tiny_model(tmp_path_factory.mktemp("models") / "llama", "llama")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedFolder:
    """A small prepared folder with odd titles; read it, never write to it."""
    return PreparedFolder.open(write_prepared(tmp_path_factory.mktemp("data") / "prepared"))


@pytest.fixture(scope="module")
def little_boosting() -> Iterator[None]:
    """Fit small baselines in a module, where their quality is not tested."""
    with small_baselines():
        yield


@pytest.fixture
def larger(tmp_path: Path) -> PreparedFolder:
    """30 users; those of smaller data of 60 items are the first of them."""
    return PreparedFolder.open(write_prepared(tmp_path / "larger", users=30, items=60))


@pytest.fixture(scope="session")
def text_prepared(prepared: PreparedFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder with text ids, such as ``isbn 03: <b>&`` and ``user/071``."""
    folder = tmp_path_factory.mktemp("data") / "text"
    shutil.copytree(prepared.path, folder)
    with_text_ids(folder)
    return folder


@pytest.fixture(scope="session")
def qwen3_tokenizer() -> Path:
    """A folder with Qwen3's tokenizer."""
    return registries.qwen3_tokenizer()


@pytest.fixture(scope="session")
def smollm2_tokenizer() -> Path:
    """A folder with SmolLM2's tokenizer."""
    return registries.smollm2_tokenizer()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Leave torch its single thread: with more, later tests of equal bytes get other roundings."""
    yield
    torch = sys.modules.get("torch")
    assert torch is None or torch.get_num_threads() == 1


@pytest.fixture(autouse=True)
def same_environ() -> Iterator[None]:
    """Keep the mapping behind ``os.environ``: rich reads the one it was imported with.

    A parallel ``Dataset.map`` of datasets 5.2 replaces it.
    """
    environ = os.environ
    yield
    os.environ = environ  # noqa: B003
