"""Tokenizing prompts: pieces assembled, against ``datasets.map`` on the whole rendered strings.

The same rows in one run, and the ids must be equal. Rendering is left out of the time of ``map``,
tokenizing every film once is included in the time of the pieces.

    python benchmarks/tokenize_throughput.py --tokenizer models/smollm2-135m --prepared data/demo
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from datasets import Dataset, disable_progress_bars
from transformers import AutoTokenizer

from reeltune.data.columns import TRAIN
from reeltune.data.folder import Examples, PreparedFolder
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.renderer import Renderer
from reeltune.prompts.rows import choose_examples
from reeltune.ragged import Ragged
from reeltune.runs.environment import hardware, package_versions


def by_pieces(
    folder: PreparedFolder, tokens: PromptTokens, examples: Examples
) -> tuple[float, Ragged]:
    """Tokenize every film and assemble the rows; return seconds and ids."""
    began = time.perf_counter()
    fresh = PromptTokens(tokens.tokenizer, tokens.renderer, folder.films)
    prompts = fresh.prompts(folder.timelines, examples)
    return time.perf_counter() - began, prompts


def by_map(texts: list[str], tokenizer: Any, processes: int) -> tuple[float, list[list[int]]]:
    """Tokenize whole strings with ``datasets.map``; return seconds and ids."""
    rows = Dataset.from_dict({"text": texts})
    began = time.perf_counter()
    done = rows.map(
        lambda batch: {
            "input_ids": tokenizer(batch["text"], add_special_tokens=False)["input_ids"]
        },
        batched=True,
        num_proc=processes,
        load_from_cache_file=False,
        remove_columns=["text"],
    )
    return time.perf_counter() - began, done["input_ids"][:]


def main() -> None:
    """Measure both and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=20_000, help="A random sample of this many.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--result", type=Path, help="Where the JSON goes.")
    options = parser.parse_args()

    disable_progress_bars()
    folder = PreparedFolder.open(options.prepared)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    tokens = PromptTokens(tokenizer, Renderer(folder.prompt_settings), folder.films)
    examples = choose_examples(folder, TRAIN, options.rows, seed=0)
    texts = list(tokens.texts(folder.timelines, examples))

    seconds_map, whole = by_map(texts, tokenizer, options.processes)
    seconds_pieces, pieced = by_pieces(folder, tokens, examples)
    if any(row.tolist() != ids for row, ids in zip(pieced, whole, strict=True)):
        raise SystemExit("the ids differ")
    total = len(pieced.values)
    cases = [
        {
            "case": case,
            "examples_per_s": len(examples) / seconds,
            "tokens_per_s": total / seconds,
        }
        for case, seconds in (
            (f"datasets.map, {options.processes} processes", seconds_map),
            ("pieces, films tokenized in the same time", seconds_pieces),
        )
    ]
    result = {
        "hardware": hardware(),
        "versions": package_versions(),
        "command": f"python benchmarks/tokenize_throughput.py --rows {options.rows}",
        "rows": len(examples),
        "films": len(folder.films),
        "ratio": seconds_map / seconds_pieces,
        "cases": cases,
    }
    if options.result is not None:
        options.result.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for case in cases:
        print(f"{case['case']:44} {case['examples_per_s']:10.0f} examples/s")
    print(f"ratio {result['ratio']:.1f}; the ids are equal")


if __name__ == "__main__":
    main()
