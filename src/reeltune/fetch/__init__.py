"""Fetching: editions, the small model and synthetic ratings, each checked before it is used."""

from __future__ import annotations

from reeltune.fetch.editions import EDITIONS, OFFICIAL_BASE_URL, Edition, find_edition
from reeltune.fetch.install import Fetched, Ways, fetch_edition
from reeltune.fetch.synthetic import make_synthetic

__all__ = [
    "EDITIONS",
    "OFFICIAL_BASE_URL",
    "Edition",
    "Fetched",
    "Ways",
    "fetch_edition",
    "find_edition",
    "make_synthetic",
]
