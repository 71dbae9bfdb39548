"""From cold to warm: a tuned model against each baseline on known and new users and items.

Every edition is prepared with each split and with and without item text, from a user's first rating
on; each is trained on and evaluated. What has been prepared or evaluated is not done again, so that
a killed command resumes::

    python -m benchmarks.cold_to_warm --ratings data/raw/ml-latest-small data/raw/ml-100k \
        --config configs/smollm2_movielens_lora.yaml --model models/smollm2-135m \
        --result benchmarks/results/quality_cold_to_warm.json
    python -m benchmarks.cold_to_warm ... --shape tiny --tokenizer FOLDER     # random weights, CPU
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.common import SHAPES, command_line, make_model, write_result
from benchmarks.launching import Launch, settings
from reeltune.evaluation.collect import BASE, TUNED
from reeltune.runs.folder import METRICS_FILE

WITHOUT: Final = "none"
"""The name of prompts without item text."""
_ENDS: Final = ("value", "low", "high")


class Case(NamedTuple):
    """One training: the folder of the ratings, the split, and the columns of item text."""

    ratings: Path
    split: str
    text: str

    @property
    def name(self) -> str:
        """Name in tables."""
        text = "" if self.text == WITHOUT else f", with {self.text}"
        return f"{self.ratings.name}, {self.split}{text}"

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"{self.ratings.name}_{self.split}_{self.text}".replace(",", "_")


def train_and_evaluate(case: Case, device: int, model: Path, options: argparse.Namespace) -> None:
    """Prepare, train and evaluate one case, unless that has been done."""
    work = options.work / case.folder
    if metrics_of(case, options).is_file():
        return
    launch, prepared = Launch(1, device), work / "prepared"
    if not prepared.is_dir():
        text = [] if case.text == WITHOUT else ["--item-text", case.text]
        launch.run(
            *("prepare", "--ratings-dir", case.ratings, "--output-dir", prepared, "--no-json"),
            *("--split", case.split, "--min-history", "0", *text),
        )
    values = {
        "model.name_or_path": model,
        "data.prepared_dir": prepared,
        "data.cache_dir": work / "cache",
        "train.output_dir": work / "run",
        "train.seed": options.seed,
    }
    flags = ["--config", options.config, *settings(values, options.set)]
    launch.run("train", *flags, "--overwrite")
    launch.run("evaluate", *flags, "--ablations", "0")


def metrics_of(case: Case, options: argparse.Namespace) -> Path:
    """Return the file of the figures that the evaluation of a case writes."""
    return options.work / case.folder / "run" / "evaluation" / METRICS_FILE


def figures(case: Case, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the test AUC of the models and of the best of each kind, and all metrics."""
    auc = {scorer["name"]: (scorer["metrics"]["auc"] or {}) for scorer in metrics["scorers"]}
    best = metrics["strongest"]["auc"]
    named = {"base": BASE, "tuned": TUNED, "best baseline": best["baseline"]}
    named |= {"best with signals": best["signals"]} if "signals" in best else {}
    return {
        "case": case.name,
        "rows": metrics["rows"],
        "users": metrics["users"],
        **{f"auc, {label}": auc[name].get("value") for label, name in named.items()},
        "best_baseline": best["baseline"],
        "all": {key: metrics[key] for key in ("scorers", "differences", "cold_to_warm")},
    }


def differences(case: Case, metrics: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the AUC of the tuned model minus that of each other scorer."""
    for difference in metrics["differences"]:
        if (gap := difference["metrics"]["auc"]) is not None:
            ends = {end: gap[end] for end in _ENDS}
            yield {"case": case.name, "minus": difference["other"], **ends}


def groups(case: Case, metrics: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    """Yield the groups of one table from cold to warm, against the best baseline."""
    best = metrics["strongest"]["auc"]["baseline"]
    for group in metrics["cold_to_warm"][index]["groups"]:
        auc = {name: (group["auc"].get(name) or {}).get("value") for name in (BASE, TUNED, best)}
        gap = group["lead"].get(best) or {}
        yield {
            "case": case.name,
            "group": group["label"],
            "rows": group["rows"],
            "auc, base": auc[BASE],
            "auc, tuned": auc[TUNED],
            "auc, best baseline": auc[best],
            **{end: gap.get(end) for end in _ENDS},
        }


def rounded(value: Any) -> Any:
    """Return a JSON value with four decimals and no nulls: all scorers of all groups are many."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items() if each is not None}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def main(arguments: list[str] | None = None) -> None:
    """Train and evaluate what is missing, write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ratings", type=Path, nargs="+", required=True, help="Editions.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="A folder with real weights.")
    parser.add_argument("--shape", choices=SHAPES, help="Random weights instead.")
    parser.add_argument("--tokenizer", type=Path, help="Of the random weights.")
    parser.add_argument("--splits", nargs="+", default=["user", "items", "users"])
    parser.add_argument("--texts", nargs="+", default=[WITHOUT, "genres"], help="Item text.")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--at-once", type=int, default=1, help="Trainings in parallel.")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path("output/cold_to_warm"))
    parser.add_argument("--result", type=Path, help="The JSON file to write.")
    parser.add_argument("--note", help="A note on the machine, shown above the table.")
    options = parser.parse_args(arguments)
    if (options.model is None) != all((options.shape, options.tokenizer)):
        parser.error("give either --model, or --shape with --tokenizer")

    model = options.model or make_model(options.work / "model", options.tokenizer, options.shape)
    cases = [Case(*each) for each in product(options.ratings, options.splits, options.texts)]
    with ThreadPoolExecutor(options.at_once) as pool:
        started = [
            pool.submit(train_and_evaluate, case, device, model, options)
            for device, case in enumerate(cases)
        ]
        for each in started:
            each.result()
    found = [(case, json.loads(metrics_of(case, options).read_text())) for case in cases]
    measured = rounded([figures(*each) for each in found])
    write_result(
        options.result,
        command_line(
            *("cold_to_warm", options, "ratings", "config", "model", "shape", "splits", "texts"),
            *("seed", "set"),
        ),
        measured,
        tuned_minus_each_other_scorer=[row for each in found for row in differences(*each)],
        by_ratings_of_the_user=[row for each in found for row in groups(*each, 0)],
        by_training_ratings_of_the_item=[row for each in found for row in groups(*each, 1)],
        note=options.note,
    )
    for case in measured:
        print({key: value for key, value in case.items() if key != "all"})


if __name__ == "__main__":
    main()
