"""Verdicts: P(Yes) of many prompts. Everything that needs one asks here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from reeltune.attention.packed import pack_sequences
from reeltune.attention.packing import pack, whole_tiles
from reeltune.errors import ModelError
from reeltune.models.causal import causal_of
from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.scoring.calibration import Calibrate
from reeltune.scoring.head import AnswerHead

_Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Which verdicts were computed, and their logits, shape ``(n, 2)``."""

_CHECKED = 3
"""How many verdicts of one sequence are compared with their prompts alone."""

_AGREE_SHARED = {True: 1e-3, False: 0.5}
"""Largest difference in log-odds that rounding explains, in float32 and in 16 bits.

16-bit numbers keep 8 to 11 bits, and a verdict passes through dozens of layers; verdicts that see
the wrong tokens differ by more.
"""

Progress = Callable[[int, int], None]
"""Called with the prompts scored so far and the prompts in all."""


@dataclass(frozen=True)
class Verdicts:
    """The logits of both answers for each prompt, in the prompts' order.

    Attributes:
        yes_logit: Shape ``(n,)``, float32.
        no_logit: Shape ``(n,)``, float32.
        calibrate: What is made of P(Yes) before it is told; None tells it as the model gives it.
    """

    yes_logit: npt.NDArray[np.float32]
    no_logit: npt.NDArray[np.float32]
    calibrate: Calibrate | None = None

    @classmethod
    def none(cls) -> Verdicts:
        """Return no verdicts."""
        return cls(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32))

    def part(self, start: int, stop: int) -> Verdicts:
        """Return the verdicts from ``start`` up to before ``stop``."""
        return Verdicts(self.yes_logit[start:stop], self.no_logit[start:stop], self.calibrate)

    def take(self, rows: npt.NDArray[np.integer]) -> Verdicts:
        """Return the verdicts at the given indices, in that order."""
        return Verdicts(self.yes_logit[rows], self.no_logit[rows], self.calibrate)

    @classmethod
    def joined(cls, parts: Sequence[Verdicts]) -> Verdicts:
        """Return verdicts of one model one behind another; there is at least one part."""
        yes = np.concatenate([part.yes_logit for part in parts])
        no = np.concatenate([part.no_logit for part in parts])
        return cls(yes, no, parts[0].calibrate)

    @property
    def log_odds(self) -> npt.NDArray[np.float64]:
        """The logarithm of P(Yes) over P(No), as the model gives it."""
        return self.yes_logit.astype(np.float64) - self.no_logit.astype(np.float64)

    @property
    def p_yes(self) -> npt.NDArray[np.float64]:
        """P(Yes): the softmax of the two logits (the logistic of their difference), calibrated."""
        given = np.exp(-np.logaddexp(0.0, -self.log_odds))
        return given if self.calibrate is None else self.calibrate(given)


class Scorer:
    """Computes verdicts: of plain prompts one per row, of shared sequences in packed rows.

    Args:
        model: A causal language model, with or without adapter.
        answers: The ids of Yes and No.
        tokens_per_batch: How many tokens, padding included, one forward pass may hold.
        calibrate: What is made of P(Yes) before it is told; None tells it as the model gives it.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        answers: AnswerTokens,
        tokens_per_batch: int,
        calibrate: Calibrate | None = None,
    ) -> None:
        self.model = model
        self.answers = answers
        self.tokens_per_batch = tokens_per_batch
        self.calibrate = calibrate
        self.head = AnswerHead(model)

    def score(self, sequences: Sequences, progress: Progress | None = None) -> Verdicts:
        """Return every verdict, in the order of the sequences' verdicts.

        Args:
            sequences: Where each verdict is asked.
            progress: Told after every batch.
        """
        logits = np.empty((sequences.verdicts, 2), dtype=np.float32)
        done = 0
        if sequences.plain:
            batches = self._plain(sequences.alone() if sequences.answered else sequences.ids)
        else:
            batches = self._shared(sequences)
        with evaluating(self.model), torch.no_grad(), compute_context(self.model):
            for verdicts, found in batches:
                logits[verdicts] = found
                done += len(verdicts)
                if progress is not None:
                    progress(done, sequences.verdicts)
        return Verdicts(logits[:, 0], logits[:, 1], self.calibrate)

    def check(self, sequences: Sequences) -> None:
        """Prove on a few of the prompts to be scored that their verdicts will be right.

        The head's two rows must give what the model itself gives, and verdicts that share a history
        must equal those of the same prompts alone.

        Raises:
            ModelError: This kind of model changes its logits, or attends, in a way of its own.
        """
        shared = np.flatnonzero(np.diff(sequences.verdict_offsets) > 1)[:1]
        some = sequences.take(shared if len(shared) else np.arange(1))
        alone = some.alone()
        with torch.compiler.set_stance("force_eager"):
            self.head.check(alone[0].tolist(), self.answers)
        if some.plain:
            return
        self._refuse_window(sequences)
        kept = np.unique(np.linspace(0, len(alone) - 1, _CHECKED).astype(np.int64))
        expected = self.score(Sequences.single(alone.take(kept))).log_odds
        found = self.score(some).log_odds[kept]
        worst = float(np.abs(found - expected).max())
        bound = _AGREE_SHARED[self.head.causal.dtype == torch.float32]
        if not worst <= bound:
            raise ModelError(
                f"{type(self.head.causal).__name__} attends in a way that histories cannot be "
                f"shared in: log-odds differ by {worst:.4f} from those of the prompts alone",
                where=str(self.head.causal.config.name_or_path),
                hint="Set train.share_history and scoring.share_history to false",
            )

    def _refuse_window(self, sequences: Sequences) -> None:
        """Refuse models that see no further back than some prompt is long.

        Where histories are shared everything before a token is seen.
        """
        config = self.head.causal.config.get_text_config()
        window, longest = getattr(config, "sliding_window", None), sequences.prompt_lengths.max()
        if window is not None and longest > window:
            raise ModelError(
                f"{type(self.head.causal).__name__} sees {window} tokens back, and a prompt has "
                f"{longest}: histories that long cannot be shared",
                where=str(self.head.causal.config.name_or_path),
                hint="Set train.share_history and scoring.share_history to false, or show shorter "
                "histories",
            )

    def _plain(self, prompts: Ragged) -> Iterator[_Batch]:
        for rows in batches_by_length(prompts.lengths, self.tokens_per_batch):
            # Every batch has another shape, and compiled layers would be compiled for each.
            with torch.compiler.set_stance("force_eager"):
                found = self._score_rows([prompts[int(row)] for row in rows])
            yield rows, found

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
        sequences = sequences.divided(self.tokens_per_batch)
        longest = max(self.tokens_per_batch, int(sequences.ids.lengths.max()))
        width = whole_tiles(longest)
        for row in pack(sequences.ids.lengths, width):
            # A compiled kernel wants one shape; the CPU skips what it need not compute.
            laid = pack_sequences(
                sequences, [row], 0, length=width if device.type == "cuda" else None
            )
            states = self.head.packed_hidden(laid.packed.to(device)).flatten(0, 1)
            asked = states[laid.answer_position.to(device)]
            yield laid.verdict, self.head.answer_logits(asked, self.answers).cpu().numpy()


def batches_by_length(
    lengths: npt.NDArray[np.int64], tokens_per_batch: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield row indices in batches of like length, longest first.

    A batch holds at most ``tokens_per_batch`` tokens with its padding, and at least one row. The
    longest come first, so that memory that does not suffice shows at once.
    """
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        rows = max(1, tokens_per_batch // max(1, int(lengths[order[first]])))
        yield order[first : first + rows]
        first += rows


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Switch dropout off, and back to what it was afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def compute_context(model: PreTrainedModel | PeftModel) -> torch.autocast:
    """Return the autocast that training uses, so that a verdict is the same in and after it."""
    causal = causal_of(model)
    mixed = causal.dtype in (torch.bfloat16, torch.float16)
    return torch.autocast(causal.device.type, dtype=causal.dtype if mixed else None, enabled=mixed)
