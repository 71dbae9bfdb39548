"""Fetch MovieLens editions from GroupLens or a local copy, verified before they are used."""

from __future__ import annotations

from reeltune.fetch.editions import EDITIONS, OFFICIAL_BASE_URL, Edition, find_edition
from reeltune.fetch.install import Fetched, FetchOptions, fetch_edition

__all__ = [
    "EDITIONS",
    "OFFICIAL_BASE_URL",
    "Edition",
    "FetchOptions",
    "Fetched",
    "fetch_edition",
    "find_edition",
]
