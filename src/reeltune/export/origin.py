"""Where an adapter comes from: what its folder says of the run that trained it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reeltune.files import file_digest
from reeltune.models.names import ADAPTER_WEIGHTS
from reeltune.models.prompt_record import PromptRecord, read_prompt_record
from reeltune.runs.folder import METRICS_FILE, RunFolder


@dataclass(frozen=True)
class Origin:
    """An adapter and what is known of it.

    Attributes:
        adapter: Its folder.
        prompt: What it was trained to be asked.
        run: The content of ``run.json``; None where the folder has none.
        metrics: The content of ``metrics.json``; None where the folder has none.
    """

    adapter: Path
    prompt: PromptRecord
    run: dict[str, Any] | None
    metrics: dict[str, Any] | None

    def chosen(self, name: str) -> str | None:
        """Return what was chosen in training, such as ``bfloat16`` for ``dtype``.

        Args:
            name: As in the record's list of choices: ``device``, ``dtype``, ``attention`` or
                ``four bit``.

        Returns:
            The value without its reason; None where the record does not say.
        """
        for sentence in (self.run or {}).get("choices", ()):
            key, _, value = sentence.partition(": ")
            if key == name:
                return value.partition(" (")[0]
        return None

    @property
    def four_bit(self) -> bool | None:
        """Whether the adapter was trained on a base in 4 bits; None where nothing says so."""
        chosen = self.chosen("four bit")
        return None if chosen is None else chosen == str(True)

    def to_dict(self) -> dict[str, Any]:
        """Return what an export's record says of the adapter and its run."""
        weights = self.adapter / ADAPTER_WEIGHTS
        run = self.run or {}
        return {
            "folder": str(self.adapter),
            "sha256": file_digest(weights) if weights.is_file() else None,
            "reeltune": run.get("versions", {}).get("reeltune"),
            "started": run.get("started"),
            "finished": run.get("finished"),
            "config_sha256": run.get("config_sha256"),
            "choices": run.get("choices"),
        }


def read_origin(adapter: Path) -> Origin:
    """Read what an adapter's folder says of it.

    Raises:
        ModelError: Its prompt is unknown, or of another version than this package renders.
    """
    run = RunFolder(adapter)
    return Origin(
        adapter=adapter,
        prompt=read_prompt_record(adapter),
        run=run.record() if run.record_file.is_file() else None,
        metrics=run.metrics() if (adapter / METRICS_FILE).is_file() else None,
    )
