"""``export``: merge, save, reload, measure, and keep the model only within its bounds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reeltune.config import Config
from reeltune.errors import ModelError, RunError
from reeltune.evaluation.model_predictions import ProgressFor
from reeltune.export.card import write_merged_card
from reeltune.export.drift import ENOUGH_ROWS, FOUR_BIT, UNQUANTIZED, Bounds, Drift
from reeltune.export.measure import (
    free_memory,
    measure_adapter,
    measure_merged,
    measure_on_other_base,
)
from reeltune.export.merge import DType, Onto, with_four_bit, write_merged
from reeltune.export.provenance import EXPORT_FILE, AdapterOrigin, export_record, write_request
from reeltune.files import atomic_folder, refuse_foreign, write_json
from reeltune.locks import exclusive, shared
from reeltune.runs.folder import CARD_FILE
from reeltune.runs.log import LOGGER

_FILES: Final = (
    "*.json",
    *("*.safetensors", "*.gguf"),
    "*.jinja",
    "*.model",
    "merges.txt",
    "vocab.txt",
    CARD_FILE,
)


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        rows: Largest number of rows to measure on.
        split: ``validation`` or ``test``.
        dtype: Data type of the merged weights.
        onto: Base weights to merge into.
        bounds: Largest allowed drift.
        allow_drift: Keep the model even beyond the bounds.
        gguf: The script ``convert_hf_to_gguf.py`` of llama.cpp, to write ``model.gguf`` with.
        overwrite: Replace an earlier export.
    """

    rows: int = ENOUGH_ROWS
    split: str = "test"
    dtype: DType = "bfloat16"
    onto: Onto = "published"
    bounds: Bounds = field(default_factory=Bounds)
    allow_drift: bool = False
    gguf: Path | None = None
    overwrite: bool = False


def export_merged(
    config: Config,
    adapter: Path,
    target: Path,
    options: ExportOptions,
    show: Callable[[Drift], None],
    progress: ProgressFor | None = None,
) -> Drift:
    """Write base and adapter as one ordinary model, measured against the adapter.

    Args:
        config: Names the data, and the model unless the adapter's run does.
        adapter: The adapter's folder.
        target: Folder of the merged model; it appears complete or not at all.
        options: Dtype, base weights, rows and bounds.
        show: Receives the drift before the bounds are checked.
        progress: Returns the progress callback of a variant.

    Raises:
        RunError: The target exists and may not be replaced.
        ModelError: The adapter cannot be merged, or the drift exceeds a bound.
        ReeltuneError: Data, model or adapter is missing or does not fit.
    """
    with exclusive(target), shared(adapter):
        _refuse_target(target, options.overwrite)
        with atomic_folder(target) as folder:
            return _export(config, adapter, folder, target, options, show, progress)


def _export(
    config: Config,
    adapter: Path,
    folder: Path,
    target: Path,
    options: ExportOptions,
    show: Callable[[Drift], None],
    progress: ProgressFor | None,
) -> Drift:
    """Write the merged model into ``folder``, which becomes ``target``."""
    origin = AdapterOrigin.read(adapter)
    evaluation = config.evaluation.model_copy(update={"max_examples": options.rows})
    limited = config.model_copy(update={"evaluation": evaluation})
    progress = progress or (lambda _description: None)
    setup, trained = measure_adapter(limited, adapter, options.split, progress)
    other = measure_on_other_base(setup, adapter, not setup.four_bit)
    free_memory()
    LOGGER.info(
        "merging in float32 into the %s weights, rounding to %s", options.onto, options.dtype
    )
    write_merged(
        folder,
        with_four_bit(setup.config, options.onto == "4bit", setup.allow_cpu),
        adapter,
        options.dtype,
        options.onto,
        setup.tokens.answers,
        origin.prompt,
    )
    merged, p_yes = measure_merged(setup, folder, write_request(folder, setup.tokens))
    in_4_bits = setup.four_bit if origin.four_bit is None else origin.four_bit
    drift = Drift(
        split=options.split,
        rows=len(setup.rows),
        rows_available=int(setup.folder.meta["counts"][options.split]),
        measurements=[*((other, trained) if setup.four_bit else (trained, other)), merged],
        reference=FOUR_BIT if in_4_bits else UNQUANTIZED,
        reference_known=origin.four_bit is not None,
        bounds=options.bounds,
    )
    show(drift)
    _refuse_drift(drift, options, target)
    if options.gguf is not None:
        _write_gguf(folder, options.gguf, target.name, options.dtype)
    record = export_record(folder, setup, origin, options.dtype, options.onto, drift)
    record["example_p_yes"] = p_yes
    write_json(folder / EXPORT_FILE, record)
    write_merged_card(folder / CARD_FILE, target.name, record, drift, origin, setup.tokens.answers)
    return drift


def _write_gguf(folder: Path, converter: Path, name: str, dtype: DType) -> None:
    """Convert the weights in a process of its own, without rounding them again."""
    named = ["--model-name", name, "--outtype", dtype.replace("float", "f")]
    command = [sys.executable, converter, folder, "--outfile", folder / "model.gguf", *named]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (folder / "model.gguf").is_file():
        last = done.stderr.strip().rpartition("\n")[2]
        raise ModelError(f"no GGUF file: {last}", code="gguf_not_written", where=str(converter))


def _refuse_target(target: Path, overwrite: bool) -> None:
    """Raise unless the target is new, or an earlier export with ``overwrite``."""
    if not target.exists():
        return
    if not overwrite:
        raise RunError(
            "already exists",
            code="export_exists",
            where=str(target),
            hint="Name another folder, or replace an earlier export with --overwrite",
        )
    if not target.is_dir() or (any(target.iterdir()) and not (target / EXPORT_FILE).is_file()):
        raise RunError(
            "holds no export, so it is not replaced",
            code="not_an_export",
            where=str(target),
            hint="Name another folder",
        )
    refuse_foreign(target, _FILES, RunError, code="not_an_export")


def _refuse_drift(drift: Drift, options: ExportOptions, target: Path) -> None:
    """Raise if a bound is exceeded, unless that is allowed."""
    exceeded = drift.exceeded()
    if not exceeded:
        return
    if options.allow_drift:
        LOGGER.warning("kept because of --allow-drift: %s", "; ".join(exceeded))
        return
    remedies = ["Use the adapter on the base it was trained on"]
    if drift.reference == FOUR_BIT and options.onto == "published":
        remedies.append("merge into the dequantized 4-bit weights with --onto 4bit")
    if options.dtype == "bfloat16" and drift.measurement(drift.reference).missing is None:
        remedies.append("round eight times finer with --dtype float16")
    remedies.append("or keep it with --allow-drift")
    raise ModelError(
        f"not kept, the merged model differs from the trained adapter: {'; '.join(exceeded)}",
        code="export_drift",
        where=str(target),
        hint=", ".join(remedies),
    )
