"""Predictions per second: the same queries one at a time, in batches, and in blocks.

Every case predicts the same test rows with the same prompts, those of blocks with growing
histories. The model has a random adapter on every linear layer. Before timing, predictions must
agree within 1e-4 in float32, and within 0.05 in bfloat16, where rounding depends on the batch. The
largest difference is reported with the standard deviation of the predictions.

    python -m benchmarks.score_throughput --model models/smollm2-135m --prepared data/demo --rows 48
    python -m benchmarks.score_throughput --tokenizer QWEN3 --prepared data/movielens_qwen3

`rank` predicts every film of the edition after one history, as `recommend` does: from token pieces
to predictions, with the history computed once. Compiled layers need a CUDA device.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.common import (
    SHAPES,
    command_line,
    common_options,
    load_with_adapter,
    make_model,
    peak_gib,
    reset_peak,
    timed,
    write_result,
)
from reeltune.config import Config, load_config
from reeltune.data.columns import TEST
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.domain import INTERVIEW, WINDOW, Form, Renderer
from reeltune.models.causal_lm import causal_of, compile_layers
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import Selection, choose_blocks, prompt_settings, tokenize
from reeltune.prompts.sequences import Sequences
from reeltune.prompts.sharing import candidate_sequences
from reeltune.ragged import Ragged
from reeltune.scoring.predictor import Query, score_queries
from reeltune.scoring.scorer import Scorer

P = npt.NDArray[np.float64]

_FORMS: Final[tuple[Form, ...]] = (WINDOW, INTERVIEW)
_TOLERANCE: Final = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""Largest difference of two P(Yes) from rounding."""

_ALL: Final = slice(None)
_COMPARED: Final = 32
"""Number of ranked films whose predictions are compared with single prompts."""


class Measurement:
    """Times one form of prompt on one model.

    Args:
        options: The parsed options.
        model: The model's folder.
        form: The form of the prompts.

    Attributes:
        sequences: The rows in blocks.
        prompts: The same rows as single prompts.
        tolerance: Largest allowed difference of two P(Yes).
    """

    def __init__(self, options: argparse.Namespace, model: Path, form: Form) -> None:
        config = config_of(options, model, form)
        self.options = options
        self.form = form
        self.folder = PreparedFolder.open(options.prepared)
        self.model, tokenizer = load_with_adapter(config)
        self.tolerance = _TOLERANCE[causal_of(self.model).dtype]
        settings = prompt_settings(self.folder, config.prompt)
        self.tokens = PromptTokens(tokenizer, Renderer(settings), self.folder.items)
        if self.tokens.differing:
            raise SystemExit(f"pieces and whole differ for {len(self.tokens.differing)} films")
        selection = Selection(TEST, options.rows, 0, True, options.block_targets)
        blocks = choose_blocks(self.folder, selection)
        self.sequences = tokenize(self.folder, self.tokens, blocks, selection).sequences
        self.prompts = self.sequences.alone()

    def cases(self) -> Iterator[dict[str, Any]]:
        """Yield the figures of every case, the compiled ones last."""
        scorer = self._scorer(self.options.tokens_per_batch)
        few = self.prompts.take(np.arange(min(self.options.one_at_a_time_rows, len(self.prompts))))
        batches = Sequences.single(self.prompts)
        expected = scorer.score(batches).p_yes
        blocks = (self.sequences.ids, lambda: scorer.score(self.sequences).p_yes, expected)
        ranking = self._ranking()
        yield self._case("in batches", self.prompts, lambda: scorer.score(batches).p_yes, expected)
        yield self._case(
            "one at a time", few, lambda: one_by_one(scorer, few), expected[: len(few)]
        )
        yield self._case("in blocks", *blocks)
        yield self._case("rank", *ranking)
        if self.model.device.type == "cuda":
            compile_layers(self.model)
            yield self._case("rank, compiled layers", *ranking)
            yield self._case("in blocks, compiled layers", *blocks)

    def _ranking(self) -> tuple[Ragged, Callable[[], P], P, npt.NDArray[np.int64]]:
        """Return the arguments of :meth:`_case` for ranking films after one full history."""
        timelines, count = self.folder.timelines, self.folder.history_len
        # Of the first user with enough events.
        stop = int(np.flatnonzero(timelines.position >= count - 1)[0]) + 1
        history = History.from_timelines(timelines, range(stop - count, stop))
        items = spread(len(self.folder.items), self.options.rank_items)
        some = spread(len(items), _COMPARED)
        prompts = self.tokens.candidate_prompts(history, items[some])
        alone = self._scorer(self.options.tokens_per_batch).score(Sequences.single(prompts))
        read = candidate_sequences(self.tokens.pieces, [history], [items]).ids
        # Room for all candidates, so that the history is computed once.
        scorer = self._scorer(len(read.values))

        def rank() -> P:
            return score_queries(scorer, self.tokens, [Query(history, items)])[0].p_yes

        return read, rank, alone.p_yes, some

    def _case(
        self,
        name: str,
        read: Ragged,
        work: Callable[[], P],
        expected: P,
        compared: npt.NDArray[np.int64] | slice = _ALL,
    ) -> dict[str, Any]:
        """Compare a case's predictions with those of single prompts, then time it.

        Args:
            name: The case.
            read: The tokens it reads, without padding.
            work: Returns its predictions.
            expected: P(Yes) of single prompts in batches.
            compared: Indices of the predictions that ``expected`` has.
        """
        reset_peak()
        p_yes = work()
        difference = float(np.abs(p_yes[compared] - expected).max())
        if not difference <= self.tolerance:
            raise SystemExit(f"{self.form}, {name}: P(Yes) differs by {difference:.2g}")
        seconds, _ = timed(work, self.options.calls)
        return {
            "form": self.form,
            "case": name,
            "predictions": len(p_yes),
            "seconds": seconds,
            "predictions_per_s": len(p_yes) / seconds,
            "tokens_per_prediction": len(read.values) / len(p_yes),
            "tokens_per_s": len(read.values) / seconds,
            "largest_difference": difference,
            "deviation": float(p_yes.std()),
            "peak_gib": peak_gib(),
        }

    def _scorer(self, tokens_per_batch: int) -> Scorer:
        return Scorer(self.model, self.tokens.answers, tokens_per_batch)


def spread(count: int, most: int | None) -> npt.NDArray[np.int64]:
    """Return at most ``most`` of ``count`` indices, evenly spread; all if None."""
    return np.unique(np.linspace(0, count - 1, min(count, most or count)).astype(np.int64))


def one_by_one(scorer: Scorer, prompts: Ragged) -> P:
    """Return P(Yes) of each prompt, in a batch by itself."""
    return np.concatenate(
        [
            scorer.score(Sequences.single(prompts.take(np.array([row])))).p_yes
            for row in range(len(prompts))
        ]
    )


def config_of(options: argparse.Namespace, model: Path, form: Form) -> Config:
    """Return the configuration of one form."""
    sets = {
        "model.name_or_path": model,
        "model.dtype": options.dtype,
        "prompt.form": form,
        "prompt.signals": [],
        "train.pairwise_weight": 0,
        "train.block_size": options.block_targets,
    }
    return load_config(None, [f"{key}={value}" for key, value in sets.items()])


def line(case: dict[str, Any]) -> str:
    """Return a case as one line of the table."""
    memory = "" if case["peak_gib"] is None else f"{case['peak_gib']:6.1f} GiB"
    return (
        f"{case['form']:10} {case['case']:27} {case['predictions']:6} in {case['seconds']:8.3f} s "
        f"{case['predictions_per_s']:9.1f} /s {case['ratio_to_batches']:6.1f} x "
        f"{case['largest_difference']:8.1e} {memory}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure both forms and print one table."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--model", type=Path, help="Real weights instead of a shape.")
    parser.add_argument("--tokenizer", type=Path, help="The tokenizer of the --shape.")
    parser.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float32"), default="auto")
    parser.add_argument("--rows", type=int, default=2000, help="Test rows.")
    parser.add_argument("--one-at-a-time-rows", type=int, default=200)
    parser.add_argument("--block-targets", type=int, default=30, help="Predictions per block.")
    parser.add_argument("--tokens-per-batch", type=int, default=16384)
    parser.add_argument(
        "--rank-films", dest="rank_items", type=int, help="Films to rank; default: all."
    )
    parser.add_argument("--calls", type=int, default=3, help="Timed calls, after a warm-up.")
    parser.add_argument("--work", type=Path, default=Path("output/score_throughput"))
    options = parser.parse_args(arguments)
    if (options.model is None) == (options.tokenizer is None):
        parser.error("give either --model, or --tokenizer for a --shape with random weights")

    shown = ("shape",) if options.model is None else ("model",)
    shown += ("dtype", "rows", "one_at_a_time_rows", "block_targets", "tokens_per_batch")
    shown += ("rank_items", "calls")
    model = options.model or make_model(options.work / "model", options.tokenizer, options.shape)
    command = command_line("score_throughput", options, *shown)
    cases: list[dict[str, Any]] = []
    for form in _FORMS:
        batches = None
        for case in Measurement(options, model, form).cases():
            batches = batches or case["predictions_per_s"]
            cases.append({**case, "ratio_to_batches": case["predictions_per_s"] / batches})
            print(line(cases[-1]), flush=True)
            write_result(options.result, command, cases, note=options.note)
        gc.collect()
        torch._dynamo.reset()


if __name__ == "__main__":
    main()
