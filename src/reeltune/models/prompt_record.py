"""``prompt.json``: the prompt an adapter was trained on, kept beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from reeltune.domain import PROMPT_VERSION, PromptSettings
from reeltune.errors import ModelError
from reeltune.files import write_json

PROMPT_FILE: Final = "prompt.json"


@dataclass(frozen=True)
class PromptRecord:
    """The prompt an adapter was trained on, and the name or path of its base model."""

    settings: PromptSettings
    history_len: int
    base_model: str


def write_prompt_record(adapter: Path, record: PromptRecord) -> None:
    """Write ``prompt.json`` into an adapter's folder."""
    write_json(adapter / PROMPT_FILE, asdict(record))


def read_prompt_record(adapter: Path) -> PromptRecord:
    """Read ``prompt.json`` of an adapter.

    Raises:
        ModelError: It is missing, or of another prompt version than this package renders.
    """
    file = adapter / PROMPT_FILE
    if not file.is_file():
        raise ModelError(
            f"the adapter has no {PROMPT_FILE}, so its prompt is unknown",
            code="prompt_record_missing",
            where=str(adapter),
            hint="Train it with reeltune, or copy the file that belongs to it",
        )
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    version = values["settings"]["version"]
    if version != PROMPT_VERSION:
        raise ModelError(
            f"the adapter was trained on prompt version {version}, this package renders "
            f"{PROMPT_VERSION}: its predictions would be wrong",
            code="other_prompt_version",
            where=str(file),
            hint="Train it again, or install the version of reeltune it was trained with",
        )
    return PromptRecord(
        settings=PromptSettings.from_dict(values["settings"]),
        history_len=int(values["history_len"]),
        base_model=str(values["base_model"]),
    )


def refuse_other_prompt(adapter: Path, wanted: PromptSettings, history_len: int) -> None:
    """Refuse an adapter that was trained on another prompt, naming every setting that differs."""
    record = read_prompt_record(adapter)
    trained = {**record.settings.to_dict(), "history_len": record.history_len}
    now = {**wanted.to_dict(), "history_len": history_len}
    differing = [
        f"{name}: trained with {trained[name]!r}, now {value!r}"
        for name, value in now.items()
        if trained[name] != value
    ]
    if differing:
        raise ModelError(
            f"the adapter was trained on another prompt ({'; '.join(differing)})",
            code="other_prompt",
            where=str(adapter),
            hint="Use the data and prompt settings of its run.json",
        )
