"""Tuned and base model on the same rows, with some rows in full: ``reeltune compare``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from transformers import GenerationConfig

from reeltune.domain import NO, YES, Item
from reeltune.evaluation.evaluate import prompt_facts
from reeltune.evaluation.intervals import Interval, bootstrap
from reeltune.evaluation.metrics import THRESHOLD, Metrics, measure
from reeltune.evaluation.model_predictions import BASE, TUNED, ProgressFor, predict_models
from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import Gain
from reeltune.models.causal_lm import causal_of
from reeltune.models.loaded_model import LoadedModel
from reeltune.scoring.scorer import compute_context
from reeltune.seeds import sample_rows

_NEW_TOKENS: Final = 8


@dataclass(frozen=True)
class Sample:
    """One row in full: candidate, label, P(Yes) and generated text of both models."""

    user_id: int | str
    candidate: Item
    truth: str
    p_yes_base: float
    p_yes_tuned: float
    generated_base: str
    generated_tuned: str


@dataclass(frozen=True)
class Comparison:
    """Both models on the same rows."""

    split: str
    metrics: dict[str, Metrics]
    gain: Gain
    samples: list[Sample]

    @property
    def auc_difference(self) -> Interval | None:
        """The AUC of the tuned model minus that of the base model."""
        return self.gain.difference["auc"]

    def to_dict(self, loaded: LoadedModel) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        difference = self.auc_difference
        return {
            "split": self.split,
            "rows_available": int(loaded.folder.meta["counts"][self.split]),
            **prompt_facts(loaded),
            "metrics": {name: metrics.to_dict() for name, metrics in self.metrics.items()},
            "auc_difference": None if difference is None else asdict(difference),
            "samples": [asdict(sample) for sample in self.samples],
        }


def compare(loaded: LoadedModel, split: str, progress: ProgressFor) -> Comparison:
    """Score the rows of a split with both models, and generate text for some."""
    config = loaded.config
    selected = loaded.held_out(split, config.evaluation.max_examples)
    rows = PredictionTable.of_events(loaded.folder, split, selected.event)
    for name, (p_yes,), _ in predict_models(loaded, [(split, selected)], progress):
        rows = rows.scored(name, p_yes)
    resampled = bootstrap(
        rows.liked,
        rows.user_id,
        rows.p_yes,
        {},
        config.train.seed,
        config.evaluation.bootstrap_samples,
    )
    gain = Gain(
        base={metric: resampled.interval(BASE, metric) for metric in resampled.metrics},
        tuned={metric: resampled.interval(TUNED, metric) for metric in resampled.metrics},
        difference={m: resampled.difference(TUNED, BASE, m) for m in resampled.metrics},
    )
    metrics = {name: measure(rows.liked, rows.p_yes[name], rows.user_id) for name in (BASE, TUNED)}
    prompts = selected.rows.sequences.alone()
    count = config.evaluation.samples
    samples = []
    for row in sample_rows(len(rows), count, config.train.seed, "samples shown")[:count]:
        prompt = prompts[int(row)].tolist()
        with loaded.without_adapter():
            generated_base = generate(loaded, prompt)
        samples.append(
            Sample(
                user_id=loaded.folder.user_ids.id(int(rows.user_id[row])),
                candidate=loaded.folder.items[loaded.folder.timelines.item_idx[rows.event[row]]],
                truth=answer(float(rows.liked[row])),
                p_yes_base=float(rows.p_yes[BASE][row]),
                p_yes_tuned=float(rows.p_yes[TUNED][row]),
                generated_base=generated_base,
                generated_tuned=generate(loaded, prompt),
            )
        )
    return Comparison(split, metrics, gain, samples)


def generate(loaded: LoadedModel, prompt: list[int]) -> str:
    """Return the text generated greedily after a prompt, as a demonstration only."""
    tokenizer, model = loaded.base.tokenizer, loaded.model
    ids = torch.tensor([prompt], device=loaded.device)
    config = GenerationConfig(
        max_new_tokens=_NEW_TOKENS,
        do_sample=False,
        use_cache=True,
        eos_token_id=[loaded.answers.end],
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.no_grad(), compute_context(model):
        out = causal_of(model).generate(  # pyright: ignore[reportCallIssue]
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
        )
    return str(tokenizer.decode(out[0, len(prompt) :], skip_special_tokens=True)).strip()


def answer(p_yes: float) -> str:
    """Return the predicted answer."""
    return YES if p_yes >= THRESHOLD else NO
