"""Scoring rows with a subject's model, as it is switched now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reeltune.asking.subject import Subject
from reeltune.evaluation.metrics import Metrics, measure
from reeltune.prompts.rows import TokenRows
from reeltune.scoring.scorer import Progress, Verdicts


@dataclass(frozen=True)
class Scored:
    """Verdicts on rows, and what they are worth."""

    rows: TokenRows
    verdicts: Verdicts
    metrics: Metrics


def score_split(subject: Subject, split: str, progress: Progress | None = None) -> Scored:
    """Score the rows of a split with the subject's model.

    Args:
        subject: The model and the data.
        split: ``validation`` or ``test``.
        progress: Told after every batch.
    """
    return score_rows(subject, subject.rows(split), progress)


def score_rows(subject: Subject, rows: TokenRows, progress: Progress | None = None) -> Scored:
    """Score given rows with the subject's model as it is switched now."""
    verdicts = subject.scorer(rows.sequences).score(rows.sequences, progress)
    return Scored(rows, verdicts, measure(rows.liked, verdicts.p_yes, rows.user_id))


def evaluation_record(subject: Subject, split: str, metrics: dict[str, Metrics]) -> dict[str, Any]:
    """Return what is written as JSON: the metrics of each scorer and what they were measured on."""
    return {
        "split": split,
        "rows_available": int(subject.folder.meta["counts"][split]),
        **asked_how(subject),
        "metrics": {name: value.to_dict() for name, value in metrics.items()},
    }


def asked_how(subject: Subject) -> dict[str, Any]:
    """Return on which data and in which way a subject is asked, for JSON."""
    return {
        "edition": subject.folder.meta["edition"],
        "prompt_version": subject.tokens.renderer.settings.version,
        "form": subject.tokens.renderer.settings.form,
        "layout": subject.config.scoring.layout,
        "block_size": subject.config.train.block_size,
        "choices": list(subject.base.choices.sentences()),
    }
