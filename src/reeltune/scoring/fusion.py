"""The fusion: P(Yes) from the model, gradient boosting, the sequence model and the signals.

Boosting and the sequence model learn from training rows, the combination from validation rows. All
are kept beside the adapter, in ``fusion.json`` and ``fusion.npz``, for the adapter, data and
prompts of the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from reeltune.baselines.boosting import BoostingModel, PromptFeatures
from reeltune.baselines.sequence_model import SequenceModel
from reeltune.baselines.trees import Arrays
from reeltune.data.folder import DIGEST, PreparedFolder, meta_digest, table_digests
from reeltune.data.timelines import Codes
from reeltune.domain import RENAMED_SIGNALS, SIGNALS, ContextKind, PromptSettings
from reeltune.errors import DataError, ModelError, one_line
from reeltune.files import atomic_file, file_digest, read_object, write_json
from reeltune.prompts.rows import layout_name
from reeltune.runs.folder import ADAPTER_WEIGHTS, RunFolder
from reeltune.runs.log import LOGGER
from reeltune.scoring import combiner
from reeltune.scoring.combiner import Combination, Floats, Inputs, Ints, Weights
from reeltune.scoring.predictions import Predictions

if TYPE_CHECKING:
    from reeltune.models.loaded_model import LoadedModel  # loads PEFT, which fitting does not need
    from reeltune.scoring.predictor import Query

FUSION_FILE: Final = "fusion.json"
ARRAYS_FILE: Final = "fusion.npz"
FORMAT_VERSION: Final = 1

MIN_ROWS: Final = 30
"""Validation rows below which nothing is fitted: they would decide by chance."""

_EPSILON: Final = float(np.finfo(np.float64).eps)
_MAX_LOG_ODDS: Final = float(logit(1 - _EPSILON))
"""P(Yes) of the model is clipped this far from 0 and 1, as in calibration."""

_UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError, OSError, BadZipFile)


class Parts(NamedTuple):
    """What is fitted to training rows, and predicts beside the language model."""

    boosting: BoostingModel
    sequence: SequenceModel

    @classmethod
    def fit(cls, folder: PreparedFolder, settings: PromptSettings, event: Ints, seed: int) -> Parts:
        """Fit both; ``event`` are the validation rows that their settings are chosen on.

        Raises:
            DataError: There is nothing to learn from.
            ModelError: The trees of this scikit-learn cannot be read.
        """
        LOGGER.info("fusion: fitting gradient boosting to the training rows")
        text = bool(settings.item_text)
        boosting = BoostingModel.fit(folder, settings.context, event, seed, text)
        LOGGER.info("fusion: fitting the sequence model to the training rows")
        return cls(boosting, SequenceModel.fit(folder, event, seed))

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays to store; none needs pickle."""
        return {**self.boosting.to_arrays(), **self.sequence.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Parts:
        """Return the parts of :meth:`to_arrays`; raises a ModelError if they are damaged."""
        return cls(BoostingModel.from_arrays(arrays), SequenceModel.from_arrays(arrays))

    def of_events(self, loaded: LoadedModel, event: Ints) -> Inputs:
        """Return the log-odds of events by the name of the part, each of shape ``(n,)``."""
        parts = {combiner.BOOSTING: self.boosting, combiner.SEQUENCE: self.sequence}
        return {name: part.of_events(loaded.folder, event) for name, part in parts.items()}

    def of_query(self, features: PromptFeatures, query: Query, codes: Codes | None) -> Inputs:
        """Return the log-odds of a query's candidates, likewise."""
        asked = query.history, query.candidates
        boosting = self.boosting.of_query(features, *asked, codes, query.asked_at)
        # The features have the same source: both were fitted with one seed.
        sequence = self.sequence.of_query(features.source, *asked, query.asked_at)
        return {combiner.BOOSTING: boosting, combiner.SEQUENCE: sequence}


@dataclass(frozen=True)
class Fusion:
    """A fitted combination of the model with what is known without it.

    Attributes:
        key: Adapter, data and prompts that it was fitted for; see :func:`fusion_key`.
        rows: Number of validation rows.
        users: Number of their users.
        used: Whether what it ships was clearly better on them than the model alone.
        validation: Log loss of the model alone and, cross-fitted, of the fusion with and without
            it, and the standard error of the gain over the model alone.
        full: Combines all inputs.
        without_model: Combines all but the model's log-odds: what does the model add?
        parts: Gradient boosting and the sequence model, fitted to training rows.
    """

    key: dict[str, Any]
    rows: int
    users: int
    used: bool
    validation: dict[str, float]
    full: Combination
    without_model: Combination
    parts: Parts

    @property
    def uses_model(self) -> bool:
        """Whether the model is part of what is shipped: whether it lowers the log loss."""
        return uses_model(self.validation)

    @property
    def shipped(self) -> Combination:
        """The combination that answers."""
        return self.full if self.uses_model else self.without_model

    def predictions(
        self, features: PromptFeatures, query: Query, codes: Codes | None, model: Predictions | None
    ) -> Predictions:
        """Return the predictions of the fusion for a query.

        Args:
            features: Of the parts' boosting, for the data.
            query: As asked, with all ratings of the user.
            codes: Of the candidates' context lines, shape ``(n, kinds)``.
            model: The predictions of the model alone; None if :attr:`uses_model` is false.
        """
        parts = self.parts.of_query(features, query, codes)
        kinds = [SIGNALS[name] for name in self.parts.boosting.settings["signals"]]
        inputs = _inputs(None if model is None else model.log_odds, parts, codes, kinds)
        fused = self.shipped.log_odds(inputs)
        return Predictions(fused.astype(np.float32), np.zeros(len(fused), dtype=np.float32))

    def unlike(self, loaded: LoadedModel) -> list[str]:
        """Return in what a model differs from that which it was fitted for."""
        now = fusion_key(loaded)
        return [name for name, value in now.items() if self.key.get(name) != value]

    def summary(self) -> dict[str, Any]:
        """Return everything but the trees and the key, as plain values for JSON."""
        values = {name: getattr(self, name) for name in ("rows", "users", "used", "validation")}
        return values | {"full": asdict(self.full), "without_model": asdict(self.without_model)}


def event_inputs(loaded: LoadedModel, parts: Parts, event: Ints, p_yes: Floats) -> Inputs:
    """Return the inputs for events, given P(Yes) of the model alone, before calibration."""
    model = logit(np.clip(p_yes, _EPSILON, 1 - _EPSILON))
    codes = loaded.folder.timelines.context_of(event)
    return _inputs(model, parts.of_events(loaded, event), codes, loaded.settings.context)


def uses_model(validation: Mapping[str, float]) -> bool:
    """Return whether the model is part of what a fusion ships, given its log losses."""
    return validation["fusion"] < validation["without_model"]


def _inputs(
    model: Floats | None, parts: Inputs, codes: Codes | None, kinds: Sequence[ContextKind]
) -> Inputs:
    """Return the log-odds of the model, of the parts, and of the share that each signal states."""
    inputs = dict(parts)
    if model is not None:
        inputs = {combiner.MODEL: np.clip(model, -_MAX_LOG_ODDS, _MAX_LOG_ODDS), **parts}
    for column, kind in enumerate(kinds, start=-len(kinds)):  # tags may come before
        assert codes is not None
        inputs[kind.name] = logit(np.array(kind.shares)[codes[:, column]])
    return inputs


def describe(summary: Mapping[str, Any]) -> list[str]:
    """Return the sentences about a fusion, given :meth:`Fusion.summary`."""
    losses = summary["validation"]
    with_model = uses_model(losses)
    shipped, other = ("fusion", "without_model") if with_model else ("without_model", "fusion")
    figures = (
        f"{summary['rows']:,} validation rows of {summary['users']:,} users: log loss "
        f"{losses[shipped]:.4f} there, cross-fitted, the model alone {losses['model']:.4f} "
        f"(standard error of the difference {losses['standard_error']:.4f})"
    )
    if not summary["used"]:
        return [f"The model alone is shipped: a fusion was not clearly better on {figures}."]
    full, rest = (in_words(summary[name]["weights"]) for name in ("full", "without_model"))
    loss = f"log loss {losses[other]:.4f} there"
    if with_model:
        return [
            f"The shipped log-odds are {full}, fitted on {figures}.",
            f"Without the model they are {rest}: {loss}.",
        ]
    return [
        f"The shipped log-odds are {rest}, without the model, fitted on {figures}.",
        f"With the model they are {full}: {loss}, so the model does not help on these data.",
    ]


def in_words(weights: Mapping[str, float]) -> str:
    """Return a combination as a formula, such as ``0.50 x model + 0.40 x boosting - 0.10``."""
    text = ""
    for name, value in weights.items():
        factor = "" if name == combiner.INTERCEPT else f" x {name}"
        text += f" {'-' if value < 0 else '+'} {abs(value):.2f}{factor}"
    return text.removeprefix(" + ").strip()


def fusion_key(loaded: LoadedModel) -> dict[str, Any]:
    """Return what a fusion is fitted for: digests of adapter and data, and form and layout."""
    assert loaded.adapter is not None
    return {
        "adapter": file_digest(loaded.adapter / ADAPTER_WEIGHTS),
        "data": table_digests(loaded.folder),
        "form": loaded.form,
        "layout": layout_name(loaded.config.scoring.share_history),
    }


def fit_fusion(
    loaded: LoadedModel,
    event: Ints,
    p_yes: Floats,
    fitted: Callable[[], Parts | None] = lambda: None,
) -> Fusion | None:
    """Fit the parts to training rows and the combination to validation rows, and log the result.

    The model is part of it if that lowers the cross-fitted log loss. It is used if that is below
    the log loss of the model alone by more than the standard error of the difference. None if there
    are too few rows or labels, with a warning.

    Args:
        loaded: The model with its adapter, and its data.
        event: The validation rows, as indices among the timelines' events.
        p_yes: P(Yes) of the model on them, before calibration.
        fitted: Returns the parts if they have been fitted.
    """
    known = loaded.folder.timelines
    liked, user_id = known.liked[event], known.user_id[event]
    try:
        if len(event) < MIN_ROWS or len(np.unique(liked)) < 2:
            LOGGER.warning(
                "no fusion: %d validation rows, %d of them Yes, are too few, so the model alone "
                "answers",
                *(len(event), liked.sum()),
            )
            return None
        parts = fitted() or Parts.fit(
            loaded.folder, loaded.settings, event, loaded.config.train.seed
        )
    except (DataError, ModelError) as error:  # also trees that cannot be read
        LOGGER.warning("no fusion: %s, so the model alone answers", error.message)
        return None
    inputs = event_inputs(loaded, parts, event, p_yes)
    others = {name: values for name, values in inputs.items() if name != combiner.MODEL}
    pairs = combiner.user_pairs(liked, user_id)
    full, rest = (combiner.combine(some, liked, user_id, pairs) for some in (inputs, others))
    losses = {
        "fusion": combiner.log_losses(liked, full.log_odds(inputs, user_id)),
        "model": combiner.log_losses(liked, inputs[combiner.MODEL]),
        "without_model": combiner.log_losses(liked, rest.log_odds(inputs, user_id)),
    }
    validation = {name: float(each.mean()) for name, each in losses.items()}
    gain = losses["model"] - losses["fusion" if uses_model(validation) else "without_model"]
    validation["standard_error"] = combiner.standard_error(gain, user_id)
    used = bool(gain.mean() > validation["standard_error"])
    key, users = fusion_key(loaded), len(np.unique(user_id))
    fusion = Fusion(key, len(event), users, used, validation, full, rest, parts)
    for line in describe(fusion.summary()):
        LOGGER.info(line)
    return fusion


def write_fusion(adapter: Path, fusion: Fusion | None) -> None:
    """Keep a fusion beside an adapter, or remove the one there."""
    # The record goes first and comes last: without it, there is no fusion.
    (adapter / FUSION_FILE).unlink(missing_ok=True)
    if fusion is None:
        (adapter / ARRAYS_FILE).unlink(missing_ok=True)
        return
    with atomic_file(adapter / ARRAYS_FILE) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **fusion.parts.to_arrays())
    version = {"format_version": FORMAT_VERSION, "key": fusion.key}
    record = version | fusion.summary() | {ARRAYS_FILE: file_digest(adapter / ARRAYS_FILE)}
    write_json(adapter / FUSION_FILE, record | {DIGEST: meta_digest(record)})


def load_fusion(adapter: Path) -> Fusion | None:
    """Read the fusion beside an adapter; None if there is none.

    Raises:
        ModelError: Its files are damaged, or of another format version.
    """
    file, arrays = adapter / FUSION_FILE, adapter / ARRAYS_FILE
    if not file.is_file():
        return None
    try:
        record = read_object(file)
        if (version := record["format_version"]) != FORMAT_VERSION:
            raise ValueError(f"format {version}, this version reads {FORMAT_VERSION}")
        if (record[DIGEST], record[ARRAYS_FILE]) != (meta_digest(record), file_digest(arrays)):
            raise ValueError("a digest differs")
        with np.load(arrays, allow_pickle=False) as values:
            kept = dict(values)
        parts = Parts.from_arrays(kept)
        facts = {name: record[name] for name in ("key", "rows", "users", "used", "validation")}
        full, rest = (_combination(**record[name]) for name in ("full", "without_model"))
        return Fusion(**facts, full=full, without_model=rest, parts=parts)
    except _UNREADABLE as error:
        raise ModelError(
            f"not a fusion that can be read ({one_line(error)})",
            code="fusion_damaged",
            where=str(file),
            hint=f"Run: {RunFolder(adapter).evaluate_command()}, or give --no-fusion",
        ) from None


def _combination(strength: float, weights: Weights, folds: Sequence[Weights]) -> Combination:
    """Return a recorded combination, with the present names of signals."""
    named, *others = (
        {RENAMED_SIGNALS.get(name, name): weight for name, weight in each.items()}
        for each in (weights, *folds)
    )
    return Combination(strength, named, others)


def open_fusion(loaded: LoadedModel, history_len: int) -> Fusion | None:
    """Return the fusion to answer with, or None if the model alone answers; the log says which.

    Args:
        loaded: The model. Its base alone is never fused.
        history_len: Events that prompts show.

    Raises:
        ModelError: The fusion's files are damaged, or of another format version.
    """
    if loaded.adapter is None or loaded.config.scoring.fusion == "none":
        return None
    fusion = load_fusion(loaded.adapter)
    if fusion is None:
        reason = "there is none; reeltune evaluate fits it"
    elif changed := fusion.unlike(loaded):
        reason = f"it was fitted for other {' and '.join(changed)}"
    elif history_len != loaded.folder.history_len:
        reason = "prompts show another number of ratings"
    elif not fusion.used:
        reason = "it was not clearly better on validation rows"
    else:
        LOGGER.info("fusion: log-odds %s", in_words(fusion.shipped.weights))
        return fusion
    LOGGER.info("no fusion (%s): the model alone answers", reason)
    return None
