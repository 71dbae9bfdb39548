"""The tokenized cache: Arrow folders that are used only when everything they depend on is equal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from datasets import Dataset, disable_progress_bars, load_from_disk
from datasets.table import InMemoryTable

from reeltune.data.folder import FILMS_FILE, TIMELINES_FILE, PreparedFolder
from reeltune.files import atomic_folder, file_digest, write_json
from reeltune.prompts.renderer import PromptSettings
from reeltune.prompts.rows import TokenRows
from reeltune.ragged import Ragged

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CACHE_FORMAT: Final = 1
_KEY_FILE: Final = "cache_key.json"

INPUT_IDS: Final = "input_ids"
LIKED: Final = "liked"
USER: Final = "user_id"
FILM: Final = "film_id"


@dataclass(frozen=True)
class CacheKey:
    """Everything the cached rows depend on, named, so that a miss can say what changed."""

    parts: dict[str, Any]

    @classmethod
    def of(
        cls,
        folder: PreparedFolder,
        prompt: PromptSettings,
        tokenizer: PreTrainedTokenizerBase,
        selection: dict[str, Any],
    ) -> CacheKey:
        """Collect the key.

        Args:
            folder: The prepared data; its files count by content.
            prompt: The words' settings, version included.
            tokenizer: Counts by its vocabulary, rules and chat template.
            selection: Split, limit and seed of the rows.
        """
        return cls(
            {
                "cache format": CACHE_FORMAT,
                "prepared data": {
                    name: file_digest(folder.path / name) for name in (TIMELINES_FILE, FILMS_FILE)
                },
                "history": [folder.min_history, folder.history_len],
                "prompt": prompt.to_dict(),
                "tokenizer": tokenizer_digest(tokenizer),
                "selection": selection,
            }
        )

    def changed_from(self, stored: dict[str, Any]) -> list[str]:
        """Return the names of the parts that differ from a stored key."""
        names = self.parts.keys() | stored.keys()
        return sorted(name for name in names if self.parts.get(name) != stored.get(name))


@dataclass(frozen=True)
class CacheLookup:
    """What was found, and why; ``rows`` is None on a miss."""

    rows: Dataset | None
    reason: str


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 of all that decides what a tokenizer makes of a chat."""
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


def look_up(path: Path, key: CacheKey) -> CacheLookup:
    """Return the cached rows at ``path`` if they were made with an equal key."""
    key_file = path / _KEY_FILE
    if not key_file.is_file():
        return CacheLookup(None, "nothing cached yet")
    changed = key.changed_from(json.loads(key_file.read_text(encoding="utf-8")))
    if changed:
        return CacheLookup(None, f"changed since: {', '.join(changed)}")
    rows = load_from_disk(str(path))
    if not isinstance(rows, Dataset):
        return CacheLookup(None, "the folder does not hold one table")
    return CacheLookup(rows, "data, prompt, tokenizer and settings are the same")


def store(path: Path, key: CacheKey, rows: TokenRows) -> Dataset:
    """Write token rows to the cache, whole or not at all, and return them memory-mapped."""
    prompts = pa.LargeListArray.from_arrays(
        pa.array(rows.prompts.offsets), pa.array(rows.prompts.values)
    )
    table = pa.table(
        {
            INPUT_IDS: prompts,
            LIKED: pa.array(rows.liked),
            USER: pa.array(rows.user_id),
            FILM: pa.array(rows.film_id),
        }
    )
    disable_progress_bars()  # a second's work
    with atomic_folder(path) as temporary:
        Dataset(InMemoryTable(table)).save_to_disk(str(temporary))
        write_json(temporary / _KEY_FILE, key.parts)
    return Dataset.load_from_disk(str(path))


def token_rows(dataset: Dataset) -> TokenRows:
    """Read cached rows back into memory, equal to what was stored."""
    table = dataset.data.table.combine_chunks()
    prompts = (
        table[INPUT_IDS].chunk(0) if table.num_rows else pa.array([], pa.large_list(pa.int32()))
    )
    offsets = prompts.offsets.to_numpy().astype(np.int64)
    values = prompts.values.to_numpy()[offsets[0] : offsets[-1]]
    return TokenRows(
        prompts=Ragged(values.astype(np.int32, copy=False), offsets - offsets[0]),
        liked=table[LIKED].to_numpy(),
        user_id=table[USER].to_numpy(),
        film_id=table[FILM].to_numpy(),
    )
