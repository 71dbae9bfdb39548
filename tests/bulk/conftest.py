"""A tiny model that is loaded once, and judges whatever a test writes down."""

from __future__ import annotations

import pytest

from reeltune.asking.judge import Judge
from reeltune.asking.subject import Subject, load_subject
from reeltune.bulk.lookup import Lookup
from tests.bulk.build import Bench
from tests.runs import tiny_config


@pytest.fixture(scope="session")
def subject(tiny_qwen3, prepared, tmp_path_factory) -> Subject:
    """The tiny base model with the small prepared folder."""
    work = tmp_path_factory.mktemp("bulk")
    return load_subject(tiny_config(tiny_qwen3, prepared.path, work), None)


@pytest.fixture(scope="session")
def judge(subject) -> Judge:
    """What gives the verdicts."""
    return Judge(subject)


@pytest.fixture(scope="session")
def lookup(subject) -> Lookup:
    """Users, films and what came before."""
    return Lookup(subject.folder)


@pytest.fixture
def bench(subject, monkeypatch) -> Bench:
    """Calls that take the model that is loaded already."""
    monkeypatch.setattr("reeltune.bulk.score.load_subject", lambda *_: subject)
    return Bench(subject.config)
