"""The tokenized cache: Arrow folders, used only while everything they depend on is unchanged.

The key file has a digest of the key and of all other files, so rows are never those of another key,
whoever writes at the same time, and a damaged cache is a miss.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reeltune.data.columns import TRAIN
from reeltune.data.folder import CacheKey, PreparedFolder, prepared_data
from reeltune.domain import PromptSettings
from reeltune.errors import RunError, one_line
from reeltune.files import atomic_folder, read_object, refuse_foreign, write_json
from reeltune.locks import exclusive
from reeltune.prompts.chat import chat_frame, tokens_digest
from reeltune.prompts.rows import Selection, TokenRows, refuse_too_long
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.runs.log import LOGGER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from reeltune.models.loaded_model import LoadedModel

CACHE_FORMAT: Final = 4

TRAIN_CACHE: Final = "train_preprocessed"
EVAL_CACHE: Final = "eval_preprocessed"
"""Folders within ``data.cache_dir``."""

CACHE_KEY: Final = "cache_key.json"
"""In each of them: everything the rows depend on, and the digest."""

_DIGEST: Final = "sha256"
_ROWS_FILE: Final = "data-00000-of-00001.arrow"
_DESCRIPTIONS: Final = ("dataset_info.json", "state.json")

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
            "selection": {
                name: value
                for name, value in asdict(selection).items()
                if name != "hide_signals" or value  # keys from before it stay equal
            },
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


def stored_key(path: Path) -> dict[str, Any] | None:
    """Return the content of a cache's key file; None if nothing is cached.

    Raises:
        OSError, ValueError: It is damaged.
    """
    return read_object(_file(path / CACHE_KEY)) if path.exists() else None


def stored_rows(path: Path, stored: dict[str, Any]) -> TokenRows:
    """Return the rows of a cache with this content of its key file.

    Raises:
        OSError, ValueError: A file is damaged, or of another key.
    """
    with pa.memory_map(str(_file(path / _ROWS_FILE))) as source:
        parts = {name: value for name, value in stored.items() if name != _DIGEST}
        if _digest(path, parts, source) != stored.get(_DIGEST):
            raise ValueError(f"its files or its {CACHE_KEY} were changed")
        table = pa.ipc.open_stream(source).read_all()
    return _read(table, answered=bool(parts["selection"]["answered"]))


def look_up(path: Path, key: CacheKey) -> tuple[TokenRows | None, str]:
    """Return the cached rows at ``path`` if their key is equal, else None; and the reason.

    The reason is empty if nothing is cached.
    """
    try:
        stored = stored_key(path)
        if stored is None:
            return None, ""
        parts = {name: value for name, value in stored.items() if name != _DIGEST}
        if changed := key.changed_from(parts):
            return None, f"changed since: {', '.join(changed)}"
        return stored_rows(path, stored), "data, prompt, tokenizer and settings are the same"
    except (OSError, ValueError) as error:
        return None, f"the cache is damaged ({one_line(error)})"


def store(path: Path, key: CacheKey, rows: TokenRows) -> None:
    """Write token rows to the cache atomically.

    Raises:
        RunError: The folder cannot be replaced, or holds other files.
    """
    refuse_foreign(path, _FILES, RunError, code="other_files_in_cache")
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
        # Without a name, datasets pickles the whole table for one: three more copies in memory.
        name = hashlib.sha256(json.dumps(key.parts, sort_keys=True).encode()).hexdigest()[:16]
        Dataset(InMemoryTable(table), fingerprint=name).save_to_disk(temporary, num_shards=1)
        with pa.OSFile(str(temporary / _ROWS_FILE)) as source:
            digest = _digest(temporary, key.parts, source)
        write_json(temporary / CACHE_KEY, key.parts | {_DIGEST: digest})


def rows_of(path: Path, key: CacheKey, tokenize: Callable[[], TokenRows], name: str) -> TokenRows:
    """Return the rows of a key from the cache, filling it first if it is missing or stale.

    Waits for other processes that use the cache.
    """
    with exclusive(path, wait=True):
        rows, reason = look_up(path, key)
        if reason:
            LOGGER.info("cache %s for %s rows: %s", "miss" if rows is None else "hit", name, reason)
        if rows is not None:
            return rows
        rows = tokenize()
        try:
            store(path, key, rows)
        except (OSError, RunError) as error:
            # The rows are needed now; the cache only saves time in the next run.
            LOGGER.warning("%s rows are not cached: %s", name, error)
        return rows


def cached_rows(loaded: LoadedModel, selection: Selection) -> TokenRows:
    """Return the rows of a selection from the cache, as :func:`rows_of`.

    Raises:
        LengthError: A prompt is longer than ``data.max_length``.
    """
    folder, data = loaded.folder, loaded.config.data
    path = data.cache_dir / (TRAIN_CACHE if selection.split == TRAIN else EVAL_CACHE)
    key = key_of_rows(folder, loaded.settings, loaded.base.tokenizer, selection)
    from reeltune.models.choices import process_state  # loads torch

    with process_state().main_process_first():
        rows = rows_of(path, key, lambda: loaded.select(selection).rows, selection.split)
    refuse_too_long(rows.sequences.prompt_lengths, data.max_length)
    return rows


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"{path.name} is missing or no file")
    return path


def _digest(folder: Path, parts: dict[str, Any], rows: pa.NativeFile) -> str:
    """Return the SHA-256 of a key and of the digests of its rows and their descriptions."""
    of_key, of_rows = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()), hashlib.sha256()
    rows.seek(0)
    while content := rows.read(2**24):
        of_rows.update(content)
    rows.seek(0)
    described = [hashlib.sha256(_file(folder / name).read_bytes()) for name in _DESCRIPTIONS]
    digests = [each.digest() for each in (of_key, of_rows, *described)]
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _read(table: pa.Table, *, answered: bool) -> TokenRows:
    table = table.combine_chunks()
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
