"""Predictions of tuned and base model, kept on disk in shards so that evaluation can resume."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import transformers

from reeltune import __version__
from reeltune.evaluation.predictions import Floats
from reeltune.files import atomic_file, remove_leftovers
from reeltune.models.causal_lm import causal_of
from reeltune.models.loaded_model import LoadedModel, SelectedRows
from reeltune.prompts.sequences import Sequences
from reeltune.runs.log import LOGGER
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.scorer import Progress, Scorer

SHIPPED: Final = "shipped"
TUNED: Final = "tuned"
BASE: Final = "base"
WITHOUT_MODEL: Final = "shipped without the model"
WITH_MODEL: Final = "shipped with the model"
"""One of the two, beside what is shipped: the fusion with or without the tuned model."""

PARTIAL_FOLDER: Final = "partial-predictions"
"""Folder of finished shards, in the folder of an evaluation until that is complete."""

BATCHES_PER_SHARD: Final = 32
"""Forward passes of a shard, approximately: what a killed evaluation computes again at most."""

_DIGEST_BYTES: Final = 32  # of SHA-256, after the array

ProgressFor = Callable[[str], Progress | None]
"""Returns the progress callback for a name."""


class _Shard(NamedTuple):
    """Some sequences, and the file of their predictions if they are kept on disk."""

    sequences: Sequences
    file: Path | None

    def read(self) -> npt.NDArray[np.float32] | None:
        """Return the logits on disk, shape ``(n, 2)``, or None; a damaged file is removed."""
        if self.file is None or not self.file.is_file():
            return None
        try:
            content = self.file.read_bytes()
            array, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
            if digest == self._digest(array):
                return np.load(io.BytesIO(array))
            reason = "it was changed"
        except OSError as error:
            reason = str(error.strerror)
        LOGGER.warning("damaged, so computed again: %s (%s)", self.file, reason)
        self.file.unlink(missing_ok=True)
        return None

    def write(self, logits: npt.NDArray[np.float32]) -> None:
        """Write the logits, complete or not at all."""
        if self.file is not None:
            array = io.BytesIO()
            np.save(array, logits)
            with atomic_file(self.file) as temporary:
                temporary.write_bytes(array.getvalue() + self._digest(array.getvalue()))

    def _digest(self, array: bytes) -> bytes:
        """Return the SHA-256 of an array and of what it depends on, which is the file's name."""
        assert self.file is not None
        return hashlib.sha256(self.file.name.encode() + array).digest()


class ShardedScorer:
    """Scores sequences in shards; each shard is written to a folder once it is finished.

    A file is named by the fingerprint of everything its predictions depend on: weights, rows as
    token ids, adapter switched on or off, and how they are computed. So predictions of another
    adapter, configuration or set of rows are never used.

    Args:
        loaded: The model.
        folder: None keeps nothing on disk and scores everything as one shard.
    """

    def __init__(self, loaded: LoadedModel, folder: Path | None = None) -> None:
        self._loaded, self._folder = loaded, folder
        if folder is not None and folder.is_dir():
            remove_leftovers(folder)

    def score(
        self, sequences: Sequences, progress: Progress | None = None, name: str = "rows"
    ) -> Predictions:
        """Return the predictions of the model as it is switched now.

        Shards that are on disk are read; the model does not run if all are.

        Args:
            progress: Called with the numbers of predictions computed so far and to compute.
            name: For the log.

        Raises:
            ModelError: As :meth:`Scorer.check`.
        """
        shards = self._shards(sequences)
        finished = [shard.read() for shard in shards]
        missing = [shard for shard, logits in zip(shards, finished, strict=True) if logits is None]
        total = sum(shard.sequences.answer_count for shard in missing)
        if total < sequences.answer_count:
            kept = sequences.answer_count - total
            LOGGER.info("%s: %d of %d predictions are on disk", name, kept, kept + total)
        computed = self._compute(sequences, missing, total, progress)
        logits = np.concatenate([next(computed) if old is None else old for old in finished])
        calibrate = self._loaded.calibrate if self._loaded.adapter_active else None
        return Predictions(logits[:, 0], logits[:, 1], calibrate)

    def missing(self, sequences: Sequences) -> tuple[int, int]:
        """Return how many predictions and tokens are to compute, as the model is switched now."""
        missing = [shard.sequences for shard in self._shards(sequences) if shard.read() is None]
        predictions = sum(rows.answer_count for rows in missing)
        return predictions, sum(len(rows.ids.values) for rows in missing)

    def clear(self) -> None:
        """Remove the finished shards, once the evaluation is written."""
        if self._folder is None or not self._folder.is_dir():
            return
        for file in self._folder.glob("*.npy"):
            file.unlink(missing_ok=True)
        remove_leftovers(self._folder)
        if not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _shards(self, sequences: Sequences) -> list[_Shard]:
        if self._folder is None:
            return [_Shard(sequences, None)]
        limit = BATCHES_PER_SHARD * self._loaded.config.scoring.tokens_per_batch
        shard = (np.cumsum(sequences.ids.lengths) - 1) // limit
        begins = np.flatnonzero(np.diff(shard, prepend=-1))
        parts = (sequences.take(rows) for rows in np.split(np.arange(len(shard)), begins[1:]))
        return [_Shard(part, self._folder / self._file_name(part)) for part in parts]

    def _compute(
        self,
        sequences: Sequences,
        missing: Sequence[_Shard],
        total: int,
        progress: Progress | None,
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the logits of missing shards, each after it was written."""
        if not missing:
            if progress is not None:
                progress(0, 0)
            return
        scorer = Scorer.checked(self._loaded, sequences)
        before = 0
        for shard in missing:
            predictions = scorer.score(shard.sequences, _shifted(progress, before, total))
            logits = np.column_stack([predictions.yes_logit, predictions.no_logit])
            shard.write(logits)
            before += shard.sequences.answer_count
            yield logits

    def _file_name(self, sequences: Sequences) -> str:
        digest = hashlib.sha256(self._fingerprint.encode())
        digest.update(b"adapter" if self._loaded.adapter_active else b"base")
        for name, value in vars(sequences).items():
            arrays = (value.values, value.offsets) if name == "ids" else (np.asarray(value),)
            for array in arrays:
                digest.update(f"{name} {array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return f"{digest.hexdigest()}.npy"

    @cached_property
    def _fingerprint(self) -> str:
        """Everything that logits depend on beside the rows and the state of the adapter."""
        loaded = self._loaded
        facts = {
            "versions": [__version__, torch.__version__, transformers.__version__],
            "weights": state_digest(loaded.model),
            "config": causal_of(loaded.model).config.to_json_string(),
            "answers": [loaded.answers.yes, loaded.answers.no],
            "device": loaded.device.type,
            "attention": loaded.base.choices.attention.value,
            "tokens_per_batch": loaded.config.scoring.tokens_per_batch,
        }
        return json.dumps(facts, sort_keys=True)


def state_digest(model: torch.nn.Module) -> str:
    """Return the SHA-256 of a model's weights, the adapter's and its scaling included."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, torch.Tensor):
            continue
        data = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {data.dtype} {tuple(data.shape)}".encode())
        digest.update(data.flatten().view(torch.uint8).numpy().data)
    for name, module in model.named_modules():
        if scaling := getattr(module, "scaling", None):
            digest.update(f"{name} {scaling}".encode())
    return digest.hexdigest()


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(before + done, total)


def model_names(loaded: LoadedModel) -> tuple[str, ...]:
    """Return the models to score: the base model, and the tuned one if there is an adapter."""
    return (TUNED, BASE) if loaded.has_adapter else (BASE,)


def predict_models(
    loaded: LoadedModel,
    selected: Sequence[tuple[str, SelectedRows]],
    progress: ProgressFor,
    scorer: ShardedScorer | None = None,
) -> Iterator[tuple[str, list[Floats], float | None]]:
    """Score rows with each model: the same weights, adapter on and off.

    Args:
        selected: Sets of rows, each with a label for progress and log.
        scorer: Computes the predictions.

    Yields:
        Name of the model, its P(Yes) for each set of rows, and seconds; None if predictions of an
        earlier start were used.
    """
    scorer = scorer or ShardedScorer(loaded)
    work: dict[str, list[tuple[int, int]]] = {}
    for name in model_names(loaded):
        with _switched(loaded, name):
            work[name] = [scorer.missing(rows.rows.sequences) for _, rows in selected]
    _log_work(selected, work)
    counts = [count for passes in work.values() for count in passes]
    all_rows, all_tokens = (sum(column) for column in zip(*counts, strict=True))
    report = progress(" and ".join(work)) if all_rows else None
    finished = 0
    for name, passes in work.items():
        started, p_yes = time.perf_counter(), []
        with _switched(loaded, name):
            for (label, rows), (count, tokens) in zip(selected, passes, strict=True):
                part = _part(report, finished, tokens, all_rows, all_tokens) if count else None
                finished += tokens
                p_yes.append(scorer.score(rows.rows.sequences, part, f"{name}, {label}").p_yes)
        seconds = time.perf_counter() - started
        complete = sum(count for count, _ in passes) == sum(len(values) for values in p_yes)
        yield name, p_yes, seconds if complete else None


def _part(
    report: Progress | None, before: int, tokens: int, all_rows: int, all_tokens: int
) -> Progress | None:
    """Return the progress callback of one pass of several: rows count by their tokens.

    Rows of one pass can be longer than those of another, so the time left would be wrong.
    """
    if report is None:
        return None
    return lambda done, count: report(
        all_rows * (before + tokens * done // count) // all_tokens, all_rows
    )


def _switched(loaded: LoadedModel, name: str) -> AbstractContextManager[None]:
    return nullcontext() if name == TUNED else loaded.without_adapter()


def _log_work(
    selected: Sequence[tuple[str, SelectedRows]], work: dict[str, list[tuple[int, int]]]
) -> None:
    rows = " and ".join(f"{len(rows.event):,} {label} rows" for label, rows in selected)
    passes = [counts for of_model in work.values() for counts in of_model]
    predictions, tokens = (sum(counts) for counts in zip(*passes, strict=True))
    models = " and ".join(f"the {name} model" for name in work)
    LOGGER.info(
        "scoring %s with %s: %s predictions, %s tokens",
        rows,
        models,
        f"{predictions:,}",
        f"{tokens:,}",
    )
