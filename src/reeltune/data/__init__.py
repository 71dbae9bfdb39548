"""Prepared data: ``prepare`` turns ratings into a prepared folder, everything else reads it.

These names need numpy and pyarrow only. Preparing (``reeltune.data.prepare``) loads polars.
"""

from reeltune.data.columns import CONTEXT, EXAMPLE_SPLITS, SPLITS, TEST, TRAIN, VALIDATION, Columns
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.data.timelines import (
    Blocks,
    Examples,
    SplitColumn,
    Timelines,
    cut_blocks,
    sample_blocks,
)

__all__ = [
    "CONTEXT",
    "EXAMPLE_SPLITS",
    "SPLITS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Blocks",
    "Columns",
    "Examples",
    "History",
    "PrepareSettings",
    "PreparedFolder",
    "SplitColumn",
    "SplitSettings",
    "Timelines",
    "cut_blocks",
    "sample_blocks",
]
