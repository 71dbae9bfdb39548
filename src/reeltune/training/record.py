"""The record of a run: ``run.json``, ``metrics.json`` and the model card ``README.md``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from reeltune.config import config_hash, config_tree
from reeltune.config.model_sections import ModelSection
from reeltune.data.meta import data_source, movielens_edition
from reeltune.domain import Item, PromptSettings, Renderer, capitalized
from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Evaluation
from reeltune.evaluation.tables import fusion_sentences
from reeltune.files import atomic_file
from reeltune.models.adapter import adapter_record
from reeltune.models.base_identity import base_record
from reeltune.models.load import parameter_counts
from reeltune.runs.environment import hardware, package_versions
from reeltune.runs.folder import RunFolder
from reeltune.training.card_metadata import (
    Data,
    base_link,
    card_metadata,
    evaluation_results,
    hub_id,
)
from reeltune.training.inputs import TrainerInputs, describe_checkpointing, hidden_sequences

if TYPE_CHECKING:
    from reeltune.training.trainer import YesNoTrainer

_EXAMPLE_CANDIDATE: Final = Item(3, "The Candidate", 1999, ("Thriller",))


def first_record(inputs: TrainerInputs, run: RunFolder, checkpoint: Path | None) -> dict[str, Any]:
    """Return the record of a run that is about to train, but its base."""
    loaded, folder = inputs.loaded, inputs.loaded.folder
    trainable, total = parameter_counts(loaded.peft_model)
    earlier = run.record() if checkpoint else {}
    resumed = [*earlier.get("resumed_from", []), checkpoint.name] if checkpoint else []
    hidden = hidden_sequences(loaded.config, inputs.train_rows)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "status": "running",
        "started": earlier.get("started", now),
        "resumed_from": resumed,
        "config": config_tree(loaded.config),
        "config_sha256": config_hash(loaded.config),
        "versions": package_versions(),
        "hardware": hardware(),
        "choices": [
            *loaded.base.choices.describe(),
            describe_checkpointing(inputs.checkpointing),
        ],
        "prompt": loaded.settings.to_dict(),
        "data": {
            "edition": folder.meta["edition"],
            "layout": folder.meta.get("layout"),
            "history_len": folder.history_len,
            "min_history": folder.min_history,
            "files": folder.meta["files"],
        },
        "rows": {"train": len(inputs.train_rows), "validation": len(inputs.eval_rows)},
        "parameters": {"trainable": trainable, "total": total},
        "signals_hidden": {"sequences": hidden, "of": len(inputs.train_rows.sequences)},
        **_init_from(loaded.config.lora.init_from, run, earlier),
    }


def _init_from(start: Path | None, run: RunFolder, earlier: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of the adapter that training began with; none of a new adapter."""
    if start is None:
        return {}
    if earlier:  # the run that it continues from may be gone
        return {"init_from": earlier["init_from"]}
    relative = os.path.relpath(start.resolve(), run.path.resolve())
    return {"init_from": {"path": Path(relative).as_posix(), **adapter_record(start)}}


def base_entry(model: ModelSection, run: RunFolder) -> dict[str, Any]:
    """Return the entry ``base`` of the record; that of a folder has its id on the hub, if known."""
    base, known = base_record(model, run.path), hub_id(model.name_or_path)
    return base if known is None or "name" in base else base | {"hub_id": known}


def run_metrics(trainer: YesNoTrainer) -> dict[str, Any]:
    """Return the content of ``metrics.json``: the best evaluation, all evaluations, the losses."""
    state = trainer.state
    evaluations = [entry for entry in state.log_history if "eval_rows" in entry]
    best_step = trainer.kept_step
    best = next((e for e in evaluations if 0 < e["step"] == best_step), None)
    summary = next((e for e in reversed(state.log_history) if "train_runtime" in e), {})
    return {
        "steps": state.global_step,
        "steps_planned": state.max_steps,
        "stopped_early": state.global_step < state.max_steps,
        "tokens_seen": state.num_input_tokens_seen,
        "best_step": best_step,
        "best": best,
        "evaluations": evaluations,
        "losses": [
            {"step": entry["step"], "loss": entry["loss"]}
            for entry in state.log_history
            if "loss" in entry
        ],
        "train_seconds": summary.get("train_runtime"),
        "train_loss": summary.get("train_loss"),
        "speed": trainer.clock.speed(),
    }


def render_card(template: str, data: Data, **values: Any) -> str:
    """Render the text of a card's template, which may include those in ``templates``."""
    environment = Environment(
        loader=PackageLoader("reeltune.training"), undefined=StrictUndefined, autoescape=False
    )
    environment.filters |= {"interval": _interval, "value": _value}
    values |= {"source": data_source(data), "movielens": movielens_edition(data) is not None}
    return environment.from_string(template).render(**values).rstrip("\n") + "\n"


def write_card(
    path: Path,
    record: dict[str, Any],
    metrics: dict[str, Any],
    evaluation: Evaluation | None = None,
) -> None:
    """Write the model card of a run.

    Args:
        record: The content of ``run.json``.
        metrics: The content of the run's ``metrics.json``.
        evaluation: The evaluation on held-out rows, if there is one.
    """
    known = record.get("base", {}).get("hub_id")
    base_model = known or record["config"]["model"]["name_or_path"]
    data, settings = record["data"], PromptSettings.from_dict(record["prompt"])
    text = render_card(
        '{% include "card.md.j2" %}',
        data,
        name=path.parent.name,
        metadata=card_metadata(
            path.parent.name,
            kind="adapter",
            base_model=base_model,
            data=data,
            results=[]
            if evaluation is None
            else evaluation_results(data, settings.domain, evaluation),
        ),
        base=base_link(base_model),
        domain=settings.domain,
        record=record,
        run=record,
        metrics=metrics,
        turns=example_turns(Renderer(settings)),
        evaluation=evaluation,
        fusion=[] if evaluation is None else fusion_sentences(evaluation),
    )
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def example_turns(renderer: Renderer) -> list[str]:
    """Return the turns of an example prompt about invented items."""
    domain, ratings = renderer.settings.domain, renderer.settings.scale.ratings()
    one = " ".join(map(capitalized, domain.an_item.split()))
    other = f"Another {capitalized(domain.item)}"
    shown = (
        (ratings[-2 if len(ratings) > 2 else -1], Item(1, one, 1995, ("Drama",))),
        (ratings[3 * len(ratings) // 10], Item(2, other, 2003, ("Comedy",))),
    )
    lines = "".join(kind.lines[kind.example] for kind in renderer.settings.context)
    text = ("...",) * len(renderer.settings.item_text)
    history = [(rating, item._replace(text=text)) for rating, item in shown]
    candidate = _EXAMPLE_CANDIDATE._replace(text=text)
    return renderer.turns(history, candidate, [lines] * (len(history) + 1))


def _value(interval: Interval | None) -> str:
    return "undefined" if interval is None else f"{interval.value:.4f}"


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "undefined"
    if not interval.enough_users:
        return f"{interval.value:.4f} (of {interval.users} users, too few for an interval)"
    return f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"
