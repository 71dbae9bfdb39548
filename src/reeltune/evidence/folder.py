"""Prepared data with the evidence that a prompt tells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from reeltune.data.folder import PreparedFolder, Timelines
from reeltune.evidence.source import EvidenceSource
from reeltune.prompts.renderer import Evidence


@dataclass(frozen=True)
class FolderWithEvidence(PreparedFolder):
    """Prepared data whose events come with what was known before each.

    Attributes:
        kinds: What is told.
    """

    kinds: tuple[Evidence, ...] = ()

    @cached_property
    def timelines(self) -> Timelines:
        """All events with their evidence."""
        return replace(self._plain, evidence=self.evidence.of_events())

    @cached_property
    def evidence(self) -> EvidenceSource:
        """Tells what is known of films asked about after any history."""
        threshold = self.prompt_settings.threshold
        return EvidenceSource(self._plain, self.films, threshold, self.kinds)

    @cached_property
    def _plain(self) -> Timelines:
        return PreparedFolder(self.path, self.meta).timelines


def open_prepared(path: Path, kinds: tuple[Evidence, ...]) -> PreparedFolder:
    """Open a prepared folder whose events have the evidence a prompt tells, if it tells any.

    Raises:
        DataError: It is missing, incomplete or written in another format version.
    """
    folder = PreparedFolder.open(path)
    return FolderWithEvidence(folder.path, folder.meta, kinds) if kinds else folder
