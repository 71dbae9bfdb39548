"""``compare``: base and tuned model side by side on the same rows, one copy of the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import GenerationConfig

from reeltune.asking.subject import Subject
from reeltune.domain import NO, YES, Item
from reeltune.evaluation.auc_intervals import auc_difference
from reeltune.evaluation.evaluate import Scored, score_rows
from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.metrics import THRESHOLD
from reeltune.models.causal import causal_of
from reeltune.scoring.scorer import Progress, compute_context
from reeltune.seeds import sample_rows

_NEW_TOKENS = 8


@dataclass(frozen=True)
class Sample:
    """One row shown in full.

    Attributes:
        user_id: Whose row it is.
        candidate: The film judged.
        truth: The right answer.
        p_yes_base: P(Yes) of the base model.
        p_yes_tuned: P(Yes) of the tuned model.
        generated_base: What the base model writes when left to generate.
        generated_tuned: What the tuned model writes.
    """

    user_id: int
    candidate: Item
    truth: str
    p_yes_base: float
    p_yes_tuned: float
    generated_base: str
    generated_tuned: str


@dataclass(frozen=True)
class Comparison:
    """Both models on the same rows.

    Attributes:
        base: The untuned model.
        tuned: The tuned one.
        auc_difference: AUC of the tuned model less that of the base, with its interval over users;
            None where all rows have one label.
        samples: Some rows in full.
    """

    base: Scored
    tuned: Scored
    auc_difference: Interval | None
    samples: list[Sample]


ProgressFor = Callable[[str], Progress | None]


def compare(subject: Subject, split: str, progress: ProgressFor | None = None) -> Comparison:
    """Score and sample both models.

    Args:
        subject: A base model with an adapter on it.
        split: ``validation`` or ``test``.
        progress: Gives, for a name, what is told after every batch.
    """
    rows = subject.rows(split)
    report = progress or (lambda _: None)
    with subject.without_adapter():
        base = score_rows(subject, rows, report("base"))
    tuned = score_rows(subject, rows, report("tuned"))
    difference = auc_difference(
        rows.liked,
        tuned.verdicts.p_yes,
        base.verdicts.p_yes,
        rows.user_id,
        subject.config.train.seed,
    )
    return Comparison(base, tuned, difference, _samples(subject, base, tuned))


def _samples(subject: Subject, base: Scored, tuned: Scored) -> list[Sample]:
    rows = tuned.rows
    count, seed = subject.config.evaluation.samples, subject.config.train.seed
    items = {item.item_id: item for item in subject.folder.items}
    found = []
    prompts = rows.sequences.alone()
    for row in sample_rows(len(rows), count, seed, "samples shown")[:count]:
        prompt = prompts[int(row)].tolist()
        with subject.without_adapter():
            generated_base = generate(subject, prompt)
        found.append(
            Sample(
                user_id=int(rows.user_id[row]),
                candidate=items[int(rows.item_id[row])],
                truth=YES if rows.liked[row] else NO,
                p_yes_base=float(base.verdicts.p_yes[row]),
                p_yes_tuned=float(tuned.verdicts.p_yes[row]),
                generated_base=generated_base,
                generated_tuned=generate(subject, prompt),
            )
        )
    return found


def generate(subject: Subject, prompt: list[int]) -> str:
    """Return what the model writes after a prompt, greedily, as a demonstration.

    No number is ever read out of it.
    """
    tokenizer, model = subject.base.tokenizer, subject.model
    ids = torch.tensor([prompt], device=subject.base.choices.device.value)
    config = GenerationConfig(
        max_new_tokens=_NEW_TOKENS,
        do_sample=False,
        use_cache=True,
        eos_token_id=[subject.tokens.answers.end],
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.no_grad(), compute_context(model):
        out = causal_of(model).generate(  # pyright: ignore[reportCallIssue]
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
        )
    return str(tokenizer.decode(out[0, len(prompt) :], skip_special_tokens=True)).strip()


def verdict(p_yes: float) -> str:
    """Return the word a probability amounts to."""
    return YES if p_yes >= THRESHOLD else NO
