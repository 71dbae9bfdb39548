"""``export.json``: where merged weights came from, and what was measured before they were kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from reeltune.export.drift import Drift
from reeltune.export.measure import Questions
from reeltune.export.options import ExportOptions
from reeltune.export.origin import Origin
from reeltune.files import file_digest
from reeltune.runs.environment import hardware, package_versions

EXPORT_FILE: Final = "export.json"


def export_record(
    folder: Path, questions: Questions, origin: Origin, options: ExportOptions, drift: Drift
) -> dict[str, Any]:
    """Return what ``export.json`` holds.

    Args:
        folder: The merged model as written so far.
        questions: What was asked.
        origin: Where the adapter came from.
        options: What was wanted.
        drift: What was measured.
    """
    model, meta = questions.config.model, questions.folder.meta
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": package_versions(),
        "hardware": hardware(),
        "base": {"name_or_path": model.name_or_path, "revision": model.revision},
        "adapter": origin.to_dict(),
        "dtype": options.dtype,
        "onto": options.onto,
        "prompt": origin.prompt.settings.to_dict(),
        "data": {
            "edition": meta["edition"],
            "history_len": questions.folder.history_len,
            "files": meta["files"],
        },
        "files": {
            file.name: {"sha256": file_digest(file), "bytes": file.stat().st_size}
            for file in sorted(folder.iterdir())
        },
        "drift": drift.to_dict(),
        "kept_in_spite_of_drift": bool(drift.exceeded()),
    }
