"""The origin of merged weights: the adapter's run, and the record ``export.json``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reeltune.export.drift import Drift
from reeltune.files import file_digest, write_json
from reeltune.models.prompt_record import PromptRecord, read_prompt_record
from reeltune.prompts.encoding import encode
from reeltune.prompts.pieces import PromptTokens
from reeltune.runs.environment import hardware, package_versions
from reeltune.runs.folder import ADAPTER_WEIGHTS, METRICS_FILE, RunFolder
from reeltune.training.record import example_turns

if TYPE_CHECKING:
    from reeltune.export.measure import Setup

EXPORT_FILE: Final = "export.json"
REQUEST_FILE: Final = "generative_scoring.json"


@dataclass(frozen=True)
class AdapterOrigin:
    """An adapter's folder and prompt, with ``run.json`` and ``metrics.json`` if present."""

    adapter: Path
    prompt: PromptRecord
    run: dict[str, Any] | None
    metrics: dict[str, Any] | None

    @classmethod
    def read(cls, adapter: Path) -> AdapterOrigin:
        """Read an adapter's folder.

        Raises:
            ModelError: Its prompt is unknown, or of another version than this package renders.
        """
        run = RunFolder(adapter)
        return cls(
            adapter=adapter,
            prompt=read_prompt_record(adapter),
            run=run.record() if run.record_file.is_file() else None,
            metrics=run.metrics() if (adapter / METRICS_FILE).is_file() else None,
        )

    @property
    def four_bit(self) -> bool | None:
        """Whether the adapter was trained on a 4-bit base; None if not recorded."""
        for line in (self.run or {}).get("choices", ()):
            name, _, value = line.partition(": ")
            if name == "four bit":
                return value.partition(" (")[0] == str(True)
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return the part of ``export.json`` on the adapter and its run."""
        weights = self.adapter / ADAPTER_WEIGHTS
        run = self.run or {}
        return {
            "folder": str(self.adapter),
            "sha256": file_digest(weights) if weights.is_file() else None,
            "reeltune": run.get("versions", {}).get("reeltune"),
            **{key: run.get(key) for key in ("started", "finished", "config_sha256", "choices")},
        }


def write_request(folder: Path, tokens: PromptTokens) -> list[int]:
    """Write a request to vLLM's ``/generative_scoring``; return its prompt, that of the card."""
    prompt = encode(tokens.tokenizer, tokens.frame.wrap(*example_turns(tokens.renderer)))
    labels = [tokens.answers.yes, tokens.answers.no]
    request = {"query": prompt[:-1], "items": [prompt[-1:]], "label_token_ids": labels}
    write_json(folder / REQUEST_FILE, request | {"apply_softmax": True})
    return prompt


def export_record(
    folder: Path, setup: Setup, origin: AdapterOrigin, dtype: str, onto: str, drift: Drift
) -> dict[str, Any]:
    """Return the content of ``export.json``; ``folder`` holds the merged model."""
    model, meta = setup.config.model, setup.folder.meta
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": package_versions(),
        "hardware": hardware(),
        "base": {"name_or_path": model.name_or_path, "revision": model.revision},
        "adapter": origin.to_dict(),
        "dtype": dtype,
        "onto": onto,
        "prompt": origin.prompt.settings.to_dict(),
        "longest_prompt": setup.tokens.pieces.max_length(setup.folder.history_len),
        "data": {
            "edition": meta["edition"],
            "layout": meta.get("layout"),
            "history_len": setup.folder.history_len,
            "files": meta["files"],
        },
        "files": {
            file.name: {"sha256": file_digest(file), "bytes": file.stat().st_size}
            for file in sorted(folder.iterdir())
        },
        "drift": drift.to_dict(),
        "kept_despite_drift": bool(drift.exceeded()),
    }
