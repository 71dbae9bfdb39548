"""``prompt.json``: the prompt an adapter was trained on, kept beside its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reeltune.domain import PROMPT_VERSION, GPHyperparameters, PromptSettings
from reeltune.errors import ModelError
from reeltune.files import read_object, write_json
from reeltune.prompts.chat import TEMPLATE_DATE, chat_frame, tokens_digest, writes_date
from reeltune.runs.log import LOGGER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROMPT_FILE: Final = "prompt.json"

_OF_DATA: Final = {"domain", "threshold", "scale_min", "scale_max", "scale_step", "auxiliary"}
"""The settings that belong to the data: prompts have those of the data to predict."""


@dataclass(frozen=True)
class PromptRecord:
    """The prompt an adapter was trained on.

    Attributes:
        settings: Everything the renderer depends on.
        history_len: Events shown before a candidate.
        base_model: Name or path of the base model.
        frame_sha256: Digest of what the chat template writes; None in records of version 0.1.
        tokens_sha256: Digest of what the tokenizer makes of prompts; None as above.
        template_date: The date that the template writes, if it writes one.
        min_history: Fewest events shown in training; None in records of earlier versions.
    """

    settings: PromptSettings
    history_len: int
    base_model: str
    frame_sha256: str | None = None
    tokens_sha256: str | None = None
    template_date: str | None = None
    min_history: int | None = None

    @classmethod
    def of(
        cls,
        settings: PromptSettings,
        history_len: int,
        base_model: str,
        tokenizer: PreTrainedTokenizerBase,
        min_history: int | None = None,
    ) -> PromptRecord:
        """Return the record of prompts by a tokenizer."""
        frame = chat_frame(tokenizer, settings.form)
        return cls(
            settings=settings,
            history_len=history_len,
            base_model=base_model,
            frame_sha256=frame.digest,
            tokens_sha256=tokens_digest(tokenizer, frame),
            template_date=str(TEMPLATE_DATE) if writes_date(tokenizer, settings.form) else None,
            min_history=min_history,
        )


def write_prompt_record(adapter: Path, record: PromptRecord) -> None:
    """Write ``prompt.json`` into an adapter's folder."""
    write_json(adapter / PROMPT_FILE, {**asdict(record), "settings": record.settings.to_dict()})


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
    try:
        values = read_object(file)
        version = values["settings"]["version"]
        if version == PROMPT_VERSION:
            optional = ("frame_sha256", "tokens_sha256", "template_date")
            least = values.get("min_history")
            return PromptRecord(
                settings=PromptSettings.from_dict(values["settings"]),
                history_len=int(values["history_len"]),
                base_model=str(values["base_model"]),
                **{name: values.get(name) for name in optional},
                min_history=None if least is None else int(least),
            )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(
            f"not the record of a prompt ({type(error).__name__}: {error})",
            code="prompt_record_damaged",
            where=str(file),
            hint="Copy the file again from where the adapter was trained",
        ) from error
    raise ModelError(
        f"the adapter was trained on prompt version {version}, this package renders "
        f"{PROMPT_VERSION}: its predictions would be wrong",
        code="other_prompt_version",
        where=str(file),
        hint="Train it again, or install the version of reeltune it was trained with",
    )


def adapter_process(adapter: Path | None) -> GPHyperparameters | None:
    """Return the hyperparameters that an adapter learned with; None without an adapter."""
    return None if adapter is None else read_prompt_record(adapter).settings.gaussian_process


def refuse_other_prompt(
    adapter: Path, wanted: PromptSettings, history_len: int, *, domain_shift: bool = False
) -> None:
    """Refuse an adapter that was trained on another prompt, naming every setting that differs.

    Args:
        adapter: The adapter's folder.
        wanted: The settings of the prompts to predict.
        history_len: Events shown before a candidate.
        domain_shift: Accept data with other words, scale, threshold or auxiliary ratings.

    Raises:
        ModelError: The domain differs (``domain_differs``), or something else (``other_prompt``).
    """
    record = read_prompt_record(adapter)
    trained = {**_settings(record.settings), "history_len": record.history_len}
    now = {**_settings(wanted), "history_len": history_len}
    differing = {
        name: f"{name}: trained with {trained.get(name)!r}, now {now.get(name)!r}"
        for name in {**trained, **now}
        if trained.get(name) != now.get(name)
    }
    of_data = differing.keys() <= _OF_DATA
    if domain_shift and of_data:
        for setting in differing.values():
            LOGGER.warning("another domain than in training: %s", setting)
        return
    if not differing:
        return
    code, other = "other_prompt", "another prompt"
    if "domain" in differing and not domain_shift:
        code = "domain_differs"
        other = f"data of the domain {record.settings.domain.name}, not {wanted.domain.name}"
    raise ModelError(
        f"the adapter was trained on {other} ({'; '.join(differing.values())})",
        code=code,
        where=str(adapter),
        hint="Use the data and prompt settings of its run.json"
        + (", or measure how it transfers with --allow-domain-shift" if of_data else ""),
    )


def _settings(settings: PromptSettings) -> dict[str, Any]:
    return {**settings.to_dict(), "domain": settings.domain.to_dict()}


def refuse_other_tokenizer(adapter: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that makes other prompts than that of the adapter's training.

    Records without digests are not checked.

    Raises:
        ModelError: The chat template (``other_chat_template``) or the token ids
            (``other_tokenizer``) differ.
    """
    record = read_prompt_record(adapter)
    frame = chat_frame(tokenizer, record.settings.form)
    if record.frame_sha256 not in (None, frame.digest):
        code, changed = "other_chat_template", "chat template writes other text around messages"
    elif record.tokens_sha256 not in (None, tokens_digest(tokenizer, frame)):
        code, changed = "other_tokenizer", "tokenizer encodes prompts differently"
    else:
        return
    raise ModelError(
        f"this {changed} than in the training of {adapter}",
        code=code,
        where=str(tokenizer.name_or_path),
        hint="Use the tokenizer files that the base model had then; the run folder has a copy",
    )
