"""The configuration tree: its sections, and the settings that contradict each other.

Instances are frozen; :mod:`reeltune.config.load` builds them from YAML and overrides. Each key's
type, default and help are in the section it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PrivateAttr

from reeltune.config.model_sections import (
    DataSection,
    LoraSection,
    ModelSection,
    PromptSection,
    QuantizationSection,
)
from reeltune.config.scoring_sections import EvaluationSection, ScoringSection, ServingSection
from reeltune.config.section import Section
from reeltune.config.train_section import TrainSection
from reeltune.errors import Problem

EVAL_METRICS = (
    "eval_auc",
    "eval_auc_per_user_mean",
    "eval_accuracy",
    "eval_f1",
    "eval_log_loss",
    "eval_brier",
)
"""Metrics that in-training evaluation reports and that can choose the best checkpoint."""

_OPTIONS_OF_KEYS = frozenset(
    {"task_type", "r", "lora_alpha", "lora_dropout", "target_modules", "revision"}
)
"""Options of PEFT's ``LoraConfig`` that have keys of their own."""

_LAYER_OPTIONS = frozenset({"layers_to_transform", "layers_pattern", "target_parameters"})
"""Options that choose layers beside ``lora.top_layers``."""

LOWER_IS_BETTER = frozenset({"eval_log_loss", "eval_brier"})


class Config(Section):
    """The whole tree."""

    model: ModelSection = ModelSection()
    quantization: QuantizationSection = QuantizationSection()
    lora: LoraSection = LoraSection()
    prompt: PromptSection = PromptSection()
    data: DataSection = DataSection()
    train: TrainSection = TrainSection()
    scoring: ScoringSection = ScoringSection()
    evaluation: EvaluationSection = EvaluationSection()
    serving: ServingSection = ServingSection()

    _explicit: frozenset[str] = PrivateAttr(frozenset())

    @property
    def explicit(self) -> frozenset[str]:
        """The keys given by ``--set``, a flag or ``overrides``, and not only by a file."""
        return self._explicit


def contradictions(config: Config) -> Iterator[Problem]:
    """Yield a problem for each pair of settings that cannot be combined."""
    train = config.train
    metric = train.metric_for_best_model
    if metric is None and train.early_stopping_patience is not None:
        yield Problem(
            "train.early_stopping_patience",
            "early_stopping_without_metric",
            "early stopping watches train.metric_for_best_model, which is null",
            "Set train.early_stopping_patience to null, or name a metric",
        )
    if metric is not None and metric not in EVAL_METRICS:
        yield Problem(
            "train.metric_for_best_model",
            "unknown_metric",
            f"{metric!r} is not measured during training",
            f"Choose one of {', '.join(EVAL_METRICS)}",
        )
    if train.save_steps % train.eval_steps:
        yield Problem(
            "train.save_steps",
            "save_between_evaluations",
            f"{train.save_steps} is not a multiple of train.eval_steps {train.eval_steps}, so "
            "a checkpoint could be saved without a metric",
            "Change train.save_steps or train.eval_steps",
        )
    if train.pairwise_weight and (not train.share_history or train.block_size == 1):
        yield Problem(
            "train.pairwise_weight",
            "pairs_need_blocks",
            "items are compared within a block: without train.share_history, or with "
            "train.block_size 1, there are no two",
            "Change these, or set train.pairwise_weight to 0",
        )
    if train.hide_signals and not config.prompt.signals:
        yield Problem(
            "train.hide_signals",
            "no_signals_to_hide",
            f"{train.hide_signals:g} of the sequences are to hide signals, and prompt.signals is "
            "empty",
            "Set train.hide_signals to 0, or name signals",
        )
    start = config.lora.init_from
    if start is not None and start.resolve() == train.output_dir.resolve():
        yield Problem(
            "lora.init_from",
            "init_from_own_output",
            "the run to continue from is also train.output_dir, which this run would replace",
            "Set train.output_dir to another folder; to continue an interrupted run: --resume",
        )
    if config.model.attention == "flash_attention_2" and config.model.dtype == "float32":
        yield Problem(
            "model.dtype",
            "flash_attention_needs_16_bits",
            "Flash Attention has no float32 kernels",
            "Set model.dtype to bfloat16, or model.attention to sdpa",
        )
    refused = dict.fromkeys(
        _OPTIONS_OF_KEYS,
        (
            "another key sets this option",
            "Use lora.r, lora.alpha, lora.dropout or lora.target_modules, or leave it out",
        ),
    )
    if config.lora.top_layers < 1:
        refused |= dict.fromkeys(
            _LAYER_OPTIONS,
            (
                "lora.top_layers below 1 chooses the layers",
                "Set lora.top_layers to 1, or leave it out",
            ),
        )
    for option in sorted(refused.keys() & config.lora.extra.keys()):
        yield Problem(f"lora.extra.{option}", "lora_option_not_allowed", *refused[option])
    banned = {"lm_head", "embed_tokens"}
    targets = config.lora.target_modules
    if isinstance(targets, tuple) and banned & {name.rpartition(".")[2] for name in targets}:
        yield Problem(
            "lora.target_modules",
            "tied_weights_targeted",
            "lm_head and embed_tokens share their weights in small models and cannot be "
            "adapted separately",
            "Leave them out",
        )
