from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.data.invariants import EventTable
from tests.helpers import write_prepared


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sound prepared data to plant a fault in."""
    return write_prepared(tmp_path / "prepared", users=12, items=60)


@pytest.fixture(scope="session")
def many_events(tmp_path_factory: pytest.TempPathFactory) -> EventTable:
    """Sound events of 100 users with 300 test events and more; read them, never change them."""
    path = write_prepared(tmp_path_factory.mktemp("check") / "prepared", users=100, items=60)
    return EventTable.read(PreparedFolder.open(path))
