"""What a training run needs before its first step: model, adapter, tokenized rows."""

from __future__ import annotations

from typing import Final

import numpy as np

from reeltune.config import Config
from reeltune.data.columns import VALIDATION
from reeltune.errors import DataError
from reeltune.evaluation.metrics import measure
from reeltune.models.loaded_model import LoadedModel
from reeltune.models.prompt_record import PromptRecord
from reeltune.prompts.rows import (
    Selection,
    TokenRows,
    held_out_rows,
)


def prompt_record(loaded: LoadedModel) -> PromptRecord:
    """Return the prompt record that is saved beside the adapter."""
    name = loaded.config.model.name_or_path
    return PromptRecord(loaded.settings, loaded.folder.history_len, name)


def validation_rows(config: Config) -> Selection:
    """Return which validation rows are scored during training."""
    return held_out_rows(config, VALIDATION, config.data.max_eval_examples)


_NEEDED: Final = {
    "eval_f1": "F1 needs a Yes",
    "eval_auc_per_user_mean": "an AUC within a user needs both answers of one user",
}


def refuse_undefined_metric(rows: TokenRows, metric: str) -> None:
    """Refuse validation rows on which the deciding metric does not exist, before hours are spent.

    Raises:
        DataError: For an AUC all rows, or all rows of each user, have one label; for F1 no row is
            a Yes.
    """
    found = measure(rows.liked, np.zeros(len(rows)), rows.user_id).to_dict()
    if found[metric.removeprefix("eval_")] is None:
        raise DataError(
            f"{metric} is undefined on the {len(rows)} validation rows: {int(rows.liked.sum())} of "
            f"them are Yes, and {_NEEDED.get(metric, 'an AUC needs both answers')}",
            code="metric_undefined",
            where="train.metric_for_best_model",
            hint="Use more validation rows (data.max_eval_examples), or set "
            "train.metric_for_best_model to eval_log_loss",
        )
