"""All kinds of input, by name."""

from __future__ import annotations

from tests.fuzz.adapters import Adapters
from tests.fuzz.archives import Archives
from tests.fuzz.campaign import Kind
from tests.fuzz.configurations import Configurations
from tests.fuzz.http_bodies import HttpBodies
from tests.fuzz.pairs_files import PairsFiles
from tests.fuzz.prepared_folders import PreparedFolders
from tests.fuzz.tables import Tables

KINDS: dict[str, type[Kind]] = {
    kind.name: kind
    for kind in (
        *(Tables, Archives, Configurations, PreparedFolders, Adapters, PairsFiles, HttpBodies),
    )
}
