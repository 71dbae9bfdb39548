"""The metadata of a model card, as the Hugging Face Hub reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from reeltune.data.meta import data_source, movielens_edition
from reeltune.domain import Domain
from reeltune.evaluation.result import Evaluation
from reeltune.models.base_identity import is_path
from reeltune.offline.smollm2 import MODEL_NAME, ORIGINAL_ID
from reeltune.runs.folder import CARD_FILE

Data = dict[str, Any]
"""The entry ``data`` of ``run.json`` or ``export.json``."""

_METRICS: Final = {
    "auc": ("roc_auc", "AUC"),
    "auc_per_user_mean": ("roc_auc", "AUC per user, mean"),
    "accuracy": ("accuracy", "Accuracy"),
    "f1": ("f1", "F1 of Yes"),
    "log_loss": ("log_loss", "Log loss (nats)"),
    "brier": ("brier_score", "Brier score"),
}
"""By the names of ``docs/EVALUATION.md``: the hub's metric id, and a label."""


def card_metadata(
    name: str,
    *,
    kind: Literal["adapter", "merged"],
    base_model: str,
    data: Data,
    results: list[EvalResult],
) -> str:
    """Return the YAML between the first two lines ``---`` of a model card.

    Args:
        name: The model's name.
        kind: A LoRA adapter, or merged weights.
        base_model: Name or path of the base model.
        data: About the prepared data.
        results: From :func:`evaluation_results` or :func:`metric_result`.
    """
    known = movielens_edition(data)
    terms = None if known is None else f"{known.url().removesuffix('.zip')}-README.html"
    card = ModelCardData(
        base_model=hub_id(base_model),
        base_model_relation="adapter" if kind == "adapter" else "finetune",
        library_name="peft" if kind == "adapter" else "transformers",
        pipeline_tag="text-generation",
        license="unknown" if terms is None else "other",
        license_name=None if terms is None else "movielens",
        license_link=terms,
        datasets=None if known is None else [known.name],
        metrics=list(dict.fromkeys(metric for metric, _ in _METRICS.values())),
        tags=["lora", "recommendation", *(["movielens"] if known else []), "reeltune"],
        model_name=name,
        eval_results=results or None,
    )
    return card.to_yaml()


def evaluation_results(data: Data, domain: Domain, evaluation: Evaluation) -> list[EvalResult]:
    """Return the metrics of what is shipped, with their intervals if there are enough users."""
    by_kind = {scorer.kind: scorer for scorer in evaluation.scorers}
    shipped = by_kind.get("shipped") or by_kind["tuned"]
    counts = {"rows": evaluation.rows, "users": evaluation.users}
    results = []
    for key in _METRICS:
        interval = shipped.metrics.get(key)
        if interval is not None:
            result = metric_result(data, domain, evaluation.split, counts, key, interval.value)
            if interval.enough_users:
                result.metric_args = {"interval_95": [interval.low, interval.high]}
            results.append(result)
    return results


def metric_result(
    data: Data, domain: Domain, split: str, counts: dict[str, int], key: str, value: float
) -> EvalResult:
    """Return one metric, by its name in ``docs/EVALUATION.md``, over so many rows of a split."""
    metric, label = _METRICS[key]
    return EvalResult(
        task_type="text-classification",
        task_name=f"Predicting whether a user will {domain.like} {domain.an_item}",
        dataset_type=data["edition"],
        dataset_name=data_source(data),
        dataset_split=split,
        dataset_args=counts,
        metric_type=metric,
        metric_name=label,
        metric_value=value,
    )


def base_link(name_or_path: str) -> str:
    """Return a Markdown link to a base model, or its folder's name if its id is unknown."""
    known = hub_id(name_or_path)
    return (
        Path(name_or_path).name if known is None else f"[{known}](https://huggingface.co/{known})"
    )


def hub_id(name_or_path: str) -> str | None:
    """Return a base model's id on the hub; None if it cannot be found out.

    That of a local folder is the ``base_model`` of its card or the name in its ``config.json``.
    """
    folder = Path(name_or_path)
    if not folder.exists():
        return None if is_path(name_or_path) or not _is_id(name_or_path) else name_or_path
    names: list[Any] = []
    if (folder / CARD_FILE).is_file():
        card = ModelCard.load(folder / CARD_FILE, ignore_metadata_errors=True)
        names.append(card.data.get("base_model"))
    if (folder / "config.json").is_file():
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names.append(config.get("_name_or_path"))
    if folder.resolve().name == MODEL_NAME:  # converted by a version that wrote no card
        names.append(ORIGINAL_ID)
    return next((n for n in names if isinstance(n, str) and _is_id(n) and "/" in n), None)


def _is_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True
