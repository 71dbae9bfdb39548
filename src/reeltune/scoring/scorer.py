"""The scorer: token sequences to P(Yes), for plain and for shared prompts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from accelerate.utils import gather_object
from peft import PeftModel
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel

from reeltune.attention.packed import PackedBatch, pack_sequences
from reeltune.attention.packing import pack, whole_tiles
from reeltune.attention.shared import NOT_SHARED_HINT, KnownTokens, not_shareable
from reeltune.errors import ModelError
from reeltune.models.calibration import Calibrate
from reeltune.models.causal_lm import causal_of
from reeltune.models.loaded_model import LoadedModel
from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.sequences import NO_BRANCH, Sequences
from reeltune.ragged import Ragged
from reeltune.scoring.head import AnswerHead
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.prefixes import ModelState, PrefixCache, joined

_Rows = npt.NDArray[np.int64]

_Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Indices of predictions and their logits, shape ``(n, 2)``."""

_CHECKED = 4
"""How many predictions of two sequences are compared with those of single prompts."""

_SHORTER_HINT = "Prepare the data with a smaller --history-len, or lower train.block_size"

_SHARED_TOLERANCE = {True: 1e-3, False: 0.5}
"""Largest difference in log-odds due to rounding, in float32 (True) and in 16 bits."""

_TOKENS_AFTER_PREFIXES = 2048
"""Most tokens of a row if keys and values are kept: a row finds those of the rows before it."""

Progress = Callable[[int, int], None]
"""Called with the number of prompts scored so far and in all."""


class Scorer:
    """Computes predictions: plain prompts one per row, shared sequences in packed rows.

    Args:
        model: A causal language model, with or without adapter.
        answers: The ids of Yes and No.
        tokens_per_batch: The most tokens of a forward pass, padding included.
        calibrate: Calibrates P(Yes).
        prefixes: Keeps keys and values of shared sequences' trunks, for later ones.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        answers: AnswerTokens,
        tokens_per_batch: int,
        calibrate: Calibrate | None = None,
        prefixes: PrefixCache | None = None,
    ) -> None:
        self.model = model
        self.answers = answers
        self.tokens_per_batch = tokens_per_batch
        self.calibrate = calibrate
        self.prefixes = prefixes
        self.head = AnswerHead(model)

    @classmethod
    def checked(
        cls,
        loaded: LoadedModel,
        sequences: Sequences,
        longest: int | None = None,
        merged: PreTrainedModel | None = None,
    ) -> Scorer:
        """Return a scorer of a loaded model, or of a merged copy of it, after :meth:`check`.

        The calibration belongs to the adapter, so it applies only while the adapter is active.
        """
        limit = loaded.config.scoring.tokens_per_batch
        calibrate = loaded.calibrate if loaded.adapter_active else None
        scorer = cls(merged or loaded.model, loaded.answers, limit, calibrate)
        scorer.check(sequences, longest=longest)
        if merged is not None:
            scorer.check_merged(loaded.model, sequences)
        return scorer

    def score(
        self, sequences: Sequences, progress: Progress | None = None, *, packed: bool = False
    ) -> Predictions:
        """Return a prediction for every answer position, in their order.

        Sequences share packed rows unless all are plain prompts and ``packed`` is not set.
        """
        logits = np.empty((sequences.answer_count, 2), dtype=np.float32)
        done = 0
        if progress is not None:
            progress(done, sequences.answer_count)
        if sequences.plain and not packed:
            batches = self._plain(sequences.alone() if sequences.answered else sequences.ids)
        else:
            batches = self._shared(sequences)
        with evaluating(self.model), torch.no_grad(), compute_context(self.model):
            for indices, batch_logits in batches:
                logits[indices] = batch_logits
                done += len(indices)
                if progress is not None:
                    progress(done, sequences.answer_count)
        return Predictions(logits[:, 0], logits[:, 1], self.calibrate)

    def check(
        self, sequences: Sequences, *, packed: bool = False, longest: int | None = None
    ) -> None:
        """Compare a few predictions with the model's own logits, and with those of single prompts.

        Args:
            sequences: What will be scored or learned.
            packed: Whether plain prompts share packed rows as well, as in training.
            longest: Tokens of the longest prompt; by default that of ``sequences``.

        Raises:
            ModelError: The model is not causal, transforms its logits in an unknown way, attends
                in a way that histories cannot be shared in, or has fewer positions than a prompt.
        """
        longest = longest or int(sequences.prompt_lengths.max()) + sequences.answered
        shared = np.flatnonzero(np.diff(sequences.answer_offsets) > 1)[:2]
        some = sequences.take(np.resize(shared if len(shared) else np.arange(1), 2))
        alone = some.alone()
        prompt, config = alone[0].tolist(), self.head.causal.config.get_text_config()
        if not getattr(config, "rope_parameters", None):  # rotary embeddings have no last position
            limit = getattr(config, "max_position_embeddings", None)
            self._refuse_longer(longest, limit, "positions", "too_few_positions", _SHORTER_HINT)
        with evaluating(self.model), torch.no_grad():
            with torch.compiler.set_stance("force_eager"):
                self.head.check(prompt, self.answers)
            if some.plain and not packed:
                return
            window = self.head.shareable_window(prompt)
        hint = f"{NOT_SHARED_HINT}. Or: {_SHORTER_HINT}"
        noun = "tokens in its sliding window, which sharing histories ignores"
        self._refuse_longer(longest, window, noun, "attention_window_too_short", hint)
        checked = np.unique(np.linspace(0, len(alone) - 1, _CHECKED).astype(np.int64))
        expected = self.score(Sequences.single(alone.take(checked))).log_odds
        # Both in one packed row, as any two sequences may be.
        wide = max(self.tokens_per_batch, int(some.ids.lengths.sum()))
        scorer = Scorer(self.model, self.answers, wide)
        actual = scorer.score(some, packed=True).log_odds[checked]
        worst = float(np.abs(actual - expected).max())
        if not worst <= _SHARED_TOLERANCE[self.head.causal.dtype == torch.float32]:
            reason = f"gives log-odds {worst:.4f} from those of single prompts"
            raise not_shareable(self.head.causal, reason)

    def check_merged(self, unmerged: PreTrainedModel | PeftModel, sequences: Sequences) -> None:
        """Compare a few predictions of a merged copy with those of the model it was made of.

        Raises:
            ModelError: They are not equal to rounding.
        """
        expected = Scorer(unmerged, self.answers, self.tokens_per_batch).score(sequences).log_odds
        worst = float(np.abs(self.score(sequences).log_odds - expected).max())
        if not worst <= _SHARED_TOLERANCE[True]:
            message = f"merging the adapter changes log-odds by {worst:.4f}"
            where, hint = "scoring.merge_adapter", "Set it to false"
            raise ModelError(message, code="merge_not_exact", where=where, hint=hint)

    def _refuse_longer(
        self, longest: int, limit: int | None, noun: str, code: str, hint: str
    ) -> None:
        if limit is not None and longest > limit:
            causal = self.head.causal
            message = f"{type(causal).__name__} has {limit} {noun}, and a prompt has {longest}"
            raise ModelError(message, code=code, where=causal.config.name_or_path, hint=hint)

    def _plain(self, prompts: Ragged) -> Iterator[_Batch]:
        batches = list(batches_by_length(prompts.lengths, self.tokens_per_batch))
        for rows in self._as_many_as_others(batches):
            # Every batch has another shape, and compiled layers would be compiled for each.
            with torch.compiler.set_stance("force_eager"):
                logits = self._score_rows([prompts[int(row)] for row in rows])
            yield rows, logits

    def _score_rows(self, rows: list[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.from_numpy(row.astype(np.int64))
        mask = (torch.arange(ids.shape[1])[None, :] < lengths[:, None]).long()
        device = self.head.causal.device
        states = self.head.hidden(ids.to(device), mask.to(device))
        last = states[torch.arange(len(rows), device=device), (lengths - 1).to(device)]
        return self.head.answer_logits(last, self.answers).cpu().numpy()

    def _shared(self, sequences: Sequences) -> Iterator[_Batch]:
        device = self.head.causal.device
        limit = self.tokens_per_batch
        if self.prefixes is not None:
            limit = min(limit, _TOKENS_AFTER_PREFIXES)
        sequences = sequences.divided(limit)
        longest = max(limit, int(sequences.ids.lengths.max()))
        width = whole_tiles(longest)
        for row in self._as_many_as_others(pack(sequences.ids.lengths, width)):
            # A compiled kernel needs one shape; the CPU skips what it need not compute.
            length = width if device.type == "cuda" else None
            batch = pack_sequences(sequences, [row], 0, length=length)
            at = batch.answer_position.to(device)
            if self.prefixes is None:
                states = self.head.packed_hidden(batch.packed.to(device)).flatten(0, 1)
            else:
                states, at = self._after_prefixes(self.prefixes, sequences.take(row), batch)
            answers = states[at]
            yield batch.answer_index, self.head.answer_logits(answers, self.answers).cpu().numpy()

    def _as_many_as_others(self, batches: list[_Rows]) -> list[_Rows]:
        """Repeat the last batch if the model is sharded: its processes do each pass together."""
        sharded = isinstance(self.model, FSDPModule)
        most = max(gather_object([len(batches)])) if sharded else 0
        return batches + batches[-1:] * (most - len(batches))

    def _after_prefixes(
        self, prefixes: PrefixCache, row: Sequences, batch: PackedBatch
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the hidden states of a row's unknown tokens, and the answers' indices in them."""
        state = ModelState.of(self.model)
        # A trunk is kept up to its first answer: its hidden state is not.
        stop = row.trunk.copy()
        own = row.branch == NO_BRANCH
        np.minimum.at(stop, row.row[own], row.answer_position[own])
        trunks = [row.ids[i][:end] for i, end in enumerate(stop.tolist())]
        found = [prefixes.find(state, trunk) for trunk in trunks]
        kept, known = (np.zeros(len(row.ids.values), dtype=bool) for _ in range(2))
        for start, end, (count, _) in zip(row.ids.offsets.tolist(), stop, found, strict=False):
            kept[start : start + end] = True
            known[start : start + count] = True
        layers = joined([layers for _, layers in found if layers])
        tokens = KnownTokens(torch.from_numpy(known), layers, torch.from_numpy(kept))
        states = self.head.packed_hidden(batch.packed, tokens).flatten(0, 1)
        ends = np.cumsum(stop).tolist()
        for trunk, end, (count, _) in zip(trunks, ends, found, strict=True):
            if count < len(trunk):
                span = slice(end - len(trunk), end)
                mine = [(k[:, span].clone(), v[:, span].clone()) for k, v in tokens.returned]
                prefixes.add(state, trunk, mine)
        before = torch.from_numpy(np.cumsum(known))[batch.answer_position]
        return states, batch.answer_position - before


def batches_by_length(
    lengths: npt.NDArray[np.int64], tokens_per_batch: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield row indices in batches of at most ``tokens_per_batch`` tokens with padding.

    The longest rows come first, so that a lack of memory shows at once.
    """
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        rows = max(1, tokens_per_batch // max(1, int(lengths[order[first]])))
        yield order[first : first + rows]
        first += rows


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Switch to evaluation mode inside the block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def compute_context(model: PreTrainedModel | PeftModel) -> torch.autocast:
    """Return the autocast of training, so that predictions are the same during and after it."""
    causal = causal_of(model)
    mixed = causal.dtype in (torch.bfloat16, torch.float16)
    return torch.autocast(causal.device.type, dtype=causal.dtype if mixed else None, enabled=mixed)
