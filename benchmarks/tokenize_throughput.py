"""Tokenizing training rows: assembled from pieces, compared with ``datasets.map``.

``map`` tokenizes whole rendered strings with two processes; rendering them is not timed. The
assembled ids must be equal for every row of ``map``: those of a single prompt to its string, and
those of each prediction of a block to its single prompt.

    python -m benchmarks.tokenize_throughput --tokenizer models/smollm2-135m --prepared data/demo

``--rows`` limits the rows of ``map``; ratios compare rows per second. The other cases read every
training row. "All included" is everything after loading data and tokenizer: rendering and
tokenizing the films, verifying that pieces equal whole prompts, and assembling. Times are medians.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from datasets import Dataset, disable_progress_bars
from transformers import PreTrainedTokenizerBase

from benchmarks.common import command_line, common_options, timed, write_result
from reeltune.config.schema import PromptSection
from reeltune.data.columns import TRAIN
from reeltune.data.folder import PreparedFolder
from reeltune.domain import INTERVIEW, WINDOW, Form, PromptSettings, Renderer
from reeltune.models.pretrained import load_tokenizer
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import (
    Selection,
    TokenRows,
    choose_blocks,
    layout_name,
    prompt_settings,
    tokenize,
)

_FORMS: Final[tuple[Form, ...]] = (WINDOW, INTERVIEW)


def by_map(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, processes: int
) -> tuple[float, list[list[int]]]:
    """Tokenize whole strings with ``datasets.map``; return seconds and ids."""
    rows = Dataset.from_dict({"text": texts})
    seconds, done = timed(
        lambda: rows.map(
            lambda batch: {
                "input_ids": tokenizer(batch["text"], add_special_tokens=False)["input_ids"]
            },
            batched=True,
            num_proc=processes,
            load_from_cache_file=False,
            remove_columns=["text"],
        ),
        calls=1,
    )
    return seconds, done["input_ids"][:]


class Measurement:
    """Times one form of prompt.

    Args:
        options: The parsed options.
        folder: The prepared data, already read.
        tokenizer: The tokenizer.
        settings: The prompt settings.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        folder: PreparedFolder,
        tokenizer: PreTrainedTokenizerBase,
        settings: PromptSettings,
    ) -> None:
        self.options = options
        self.folder = folder
        self.tokenizer = tokenizer
        self.renderer = Renderer(settings)

    def cases(self) -> list[dict[str, Any]]:
        """Return the figures of every case, the slowest first."""
        items, tokens = timed(self._tokens, self.options.calls)
        if tokens.differing:
            raise SystemExit(f"pieces and whole differ for {len(tokens.differing)} films")
        cases = [case for shared in (True, False) for case in self._cases(tokens, items, shared)]
        return [{"form": self.renderer.settings.form, **case} for case in cases]

    def _tokens(self) -> PromptTokens:
        return PromptTokens(self.tokenizer, self.renderer, self.folder.items)

    def _cases(self, tokens: PromptTokens, items: float, shared: bool) -> list[dict[str, Any]]:
        """Return the cases of one layout: ``map``, all included, assembling alone."""
        layout = layout_name(shared)
        mapped, per_second = self._map(tokens, shared)
        assembling, rows = timed(lambda: self._rows(tokens, shared, None), self.options.calls)
        cases = [{"case": f"datasets.map, {layout}", "rows": mapped, "examples_per_s": per_second}]
        for name, seconds in (
            (f"{layout}, all included", items + assembling),
            (f"{layout}, assembling alone", assembling),
        ):
            rate = len(rows) / seconds
            cases.append(
                {
                    "case": name,
                    "rows": len(rows),
                    "seconds": seconds,
                    "examples_per_s": rate,
                    "ratio_to_map": rate / per_second,
                }
            )
        return cases

    def _map(self, tokens: PromptTokens, shared: bool) -> tuple[int, float]:
        """Compare the ids of ``map`` and return its number of rows and its speed."""
        selection = self._selection(shared, self.options.rows)
        examples = choose_blocks(self.folder, selection).examples
        texts = list(tokens.texts(self.folder.timelines, examples))
        seconds, whole = by_map(texts, self.tokenizer, self.options.processes)
        alone = self._rows(tokens, shared, self.options.rows).sequences.alone()
        if any(row.tolist() != ids for row, ids in zip(alone, whole, strict=True)):
            raise SystemExit(f"{layout_name(shared)}: ids differ from those of the whole strings")
        return len(texts), len(texts) / seconds

    def _rows(self, tokens: PromptTokens, shared: bool, limit: int | None) -> TokenRows:
        selection = self._selection(shared, limit)
        return tokenize(self.folder, tokens, choose_blocks(self.folder, selection), selection)

    def _selection(self, shared: bool, limit: int | None) -> Selection:
        targets = self.options.block_targets
        return Selection(TRAIN, limit, 0, shared, targets, answered=True)


def main(arguments: list[str] | None = None) -> None:
    """Measure both forms and print one table."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--tokenizer", required=True, help="A folder or a name on the hub.")
    parser.add_argument("--rows", type=int, default=20_000, help="Rows for map.")
    parser.add_argument("--block-targets", type=int, default=30, help="Examples per block.")
    parser.add_argument("--processes", type=int, default=2, help="Processes of map.")
    parser.add_argument("--calls", type=int, default=5, help="Calls whose median is reported.")
    options = parser.parse_args(arguments)

    disable_progress_bars()
    folder = PreparedFolder.open(options.prepared)
    tokenizer = load_tokenizer(options.tokenizer)
    _ = folder.items, folder.timelines
    cases = []
    for form in _FORMS:
        settings = prompt_settings(folder, PromptSection(form=form, signals=()))
        cases += Measurement(options, folder, tokenizer, settings).cases()
    shown = ("rows", "block_targets", "processes", "calls")
    write_result(
        options.result,
        command_line("tokenize_throughput", options, *shown),
        cases,
        note=options.note,
        items=len(folder.items),
    )
    for case in cases:
        ratio = f"{case['ratio_to_map']:7.1f} x map" if "ratio_to_map" in case else ""
        print(
            f"{case['form']:10} {case['case']:26} {case['rows']:8} rows "
            f"{case['examples_per_s']:11.0f} examples/s {ratio}"
        )
    print("the ids are equal")


if __name__ == "__main__":
    main()
