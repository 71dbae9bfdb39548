"""Prompts of queries without the model's weights, for a server that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reeltune.config.model_sections import PromptSection
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Renderer
from reeltune.errors import LengthError
from reeltune.models.pretrained import load_tokenizer
from reeltune.models.prompt_record import (
    read_prompt_record,
    refuse_other_prompt,
    refuse_other_tokenizer,
)
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import prompt_settings
from reeltune.scoring.predictor import Query, query_sequences
from reeltune.signals.folder import with_signals


@dataclass(frozen=True)
class QueryPrompts:
    """Renders queries as an adapter's prompts.

    Attributes:
        folder: The prepared data, with the adapter's signals.
        tokens: Its ``answers`` are the token ids of Yes and No.
    """

    folder: PreparedFolder
    tokens: PromptTokens

    @classmethod
    def open(cls, adapter: Path, prepared: Path, cache_dir: Path | None = None) -> QueryPrompts:
        """Read prompt and tokenizer of a run or an export; ``cache_dir`` caches signals.

        Raises:
            DataError: The prepared folder cannot be read.
            ModelError: The adapter was trained on another prompt.
        """
        trained = read_prompt_record(adapter).settings
        folder = PreparedFolder.open(prepared)
        folder = with_signals(folder, trained.signals, cache_dir, trained.gaussian_process)
        section = PromptSection(
            form=trained.form,
            genres=trained.genres,
            signals=trained.signals,
            item_text_tokens=trained.item_text_tokens,
        )
        settings = prompt_settings(folder, section)
        refuse_other_prompt(adapter, settings, folder.history_len)
        tokenizer = load_tokenizer(str(adapter))
        refuse_other_tokenizer(adapter, tokenizer)
        return cls(folder, PromptTokens(tokenizer, Renderer(settings), folder.items, folder.tags))

    def of(self, query: Query, limit: int) -> list[list[int]]:
        """Return the token ids of every candidate's prompt, up to where the answer begins.

        Raises:
            LengthError: A prompt has more than ``limit`` tokens.
        """
        history, context = self.folder.context.of_query(
            query.history, query.candidates, self.folder.history_len, query.asked_at
        )
        shown = Query(history, query.candidates, context)
        prompts = [row.tolist() for row in query_sequences(self.tokens, [shown]).alone()]
        if (longest := max(map(len, prompts))) > limit:
            raise LengthError(
                f"a prompt has {longest} tokens, and the model reads {limit}",
                code="prompt_too_long",
                hint=f"Let it read at least {longest}, or prepare with a shorter history",
            )
        return prompts
