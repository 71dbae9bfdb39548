"""The tokenized cache: Arrow folders, used only while everything they depend on is unchanged."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reeltune.data.columns import TRAIN
from reeltune.data.folder import CacheKey, PreparedFolder, prepared_data
from reeltune.domain import PromptSettings
from reeltune.errors import RunError
from reeltune.files import atomic_folder, refuse_foreign, write_json
from reeltune.prompts.chat import chat_frame, tokens_digest
from reeltune.prompts.rows import Selection, TokenRows, refuse_too_long
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.runs.log import LOGGER

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from reeltune.models.loaded_model import LoadedModel

CACHE_FORMAT: Final = 3

TRAIN_CACHE: Final = "train_preprocessed"
EVAL_CACHE: Final = "eval_preprocessed"
"""Folders within ``data.cache_dir``."""

CACHE_KEY: Final = "cache_key.json"
"""In each of them: everything the rows depend on."""

_FILES: Final = ("*.arrow", "*.json")

INPUT_IDS: Final = "input_ids"
_TRUNK: Final = "trunk"
_PER_ANSWER: Final = ("answer_position", "branch", "leave")
_LABELS: Final = ("liked", "user_id", "item_id")


def key_of_rows(
    folder: PreparedFolder,
    prompt: PromptSettings,
    tokenizer: PreTrainedTokenizerBase,
    selection: Selection,
) -> CacheKey:
    """Return everything tokenized rows depend on; files and tokenizer by content."""
    frame = chat_frame(tokenizer, prompt.form)
    return CacheKey(
        {
            "cache format": CACHE_FORMAT,
            **prepared_data(folder),
            "history": [folder.min_history, folder.history_len],
            "prompt": {
                **prompt.to_dict(),
                "frame_sha256": frame.digest,
                "tokens_sha256": tokens_digest(tokenizer, frame),
            },
            "tokenizer": tokenizer_digest(tokenizer),
            "selection": asdict(selection),
        }
    )


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 of a tokenizer's vocabulary, rules, special tokens and chat template."""
    content = json.dumps(
        [
            tokenizer.backend_tokenizer.to_str(),  # pyright: ignore
            tokenizer.chat_template,
            tokenizer.special_tokens_map,
        ],
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(content.encode()).hexdigest()


def look_up(path: Path, key: CacheKey) -> tuple[TokenRows | None, str]:
    """Return the cached rows at ``path`` if their key is equal, else None; and the reason."""
    refuse_foreign(path, _FILES, RunError, code="other_files_in_cache")
    key_file = path / CACHE_KEY
    if not key_file.is_file():
        return None, "nothing cached yet"
    changed = key.changed_from(json.loads(key_file.read_text(encoding="utf-8")))
    if changed:
        return None, f"changed since: {', '.join(changed)}"
    from datasets import Dataset, load_from_disk

    rows = load_from_disk(str(path))
    if not isinstance(rows, Dataset):
        return None, "the folder does not hold one table"
    answered = bool(key.parts["selection"]["answered"])
    return _read(rows, answered), "data, prompt, tokenizer and settings are the same"


def store(path: Path, key: CacheKey, rows: TokenRows) -> TokenRows:
    """Write token rows to the cache atomically, and return them memory-mapped."""
    from datasets import Dataset, disable_progress_bars
    from datasets.table import InMemoryTable

    sequences = rows.sequences
    predictions = sequences.answer_offsets
    lists = {
        INPUT_IDS: (sequences.ids.offsets, sequences.ids.values),
        **{name: (predictions, getattr(sequences, name)) for name in _PER_ANSWER},
        **{name: (predictions, getattr(rows, name)) for name in _LABELS},
    }
    columns = {
        name: pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
        for name, (offsets, values) in lists.items()
    }
    table = pa.table(columns | {_TRUNK: pa.array(sequences.trunk)})
    disable_progress_bars()
    with atomic_folder(path) as temporary:
        Dataset(InMemoryTable(table)).save_to_disk(str(temporary))
        write_json(temporary / CACHE_KEY, key.parts)
    return _read(Dataset.load_from_disk(str(path)), sequences.answered)


def cached_rows(loaded: LoadedModel, selection: Selection) -> TokenRows:
    """Return rows from the cache, filling it first if it is missing or stale.

    Raises:
        LengthError: A prompt is longer than ``data.max_length``.
    """
    folder, data = loaded.folder, loaded.config.data
    path = data.cache_dir / (TRAIN_CACHE if selection.split == TRAIN else EVAL_CACHE)
    key = key_of_rows(folder, loaded.settings, loaded.base.tokenizer, selection)
    from reeltune.models.choices import process_state  # loads torch

    with process_state().main_process_first():
        rows, reason = look_up(path, key)
        hit = "miss" if rows is None else "hit"
        LOGGER.info("cache %s for %s rows: %s", hit, selection.split, reason)
        if rows is None:
            rows = store(path, key, loaded.select(selection).rows)
        else:
            refuse_too_long(rows.sequences.prompt_lengths, data.max_length)
    return rows


def _read(dataset: Dataset, answered: bool) -> TokenRows:
    table = dataset.data.table.combine_chunks()
    offsets, ids = _list_column(table, INPUT_IDS)
    predictions = np.diff(_list_column(table, _PER_ANSWER[0])[0])
    return TokenRows(
        sequences=Sequences(
            ids=Ragged(ids, offsets),
            trunk=table[_TRUNK].to_numpy(),
            row=np.repeat(np.arange(table.num_rows), predictions),
            **{name: _list_column(table, name)[1] for name in _PER_ANSWER},
            answered=answered,
        ),
        **{name: _list_column(table, name)[1] for name in _LABELS},
    )


def _list_column(table: pa.Table, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    column = table[name].chunk(0)
    offsets = column.offsets.to_numpy().astype(np.int64)
    # Booleans are stored in bits, which cannot be read in place.
    values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
    return offsets - offsets[0], values.to_numpy(zero_copy_only=False)
