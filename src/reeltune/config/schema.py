"""The configuration tree: every key, its default and its bounds.

Each section is one class. Instances are frozen; :mod:`reeltune.config.load` builds them from YAML
and overrides. The keys are explained for users in docs/TRAINING_PARAMETERS.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from reeltune.domain import SIGNALS, SignalKind
from reeltune.errors import Problem

Layout = Literal["blocks", "single"]
"""``blocks``: examples that follow one another share their history; ``single``: none do."""

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]

EVAL_METRICS = (
    "eval_auc",
    "eval_auc_per_user_mean",
    "eval_accuracy",
    "eval_f1",
    "eval_log_loss",
    "eval_brier",
)
"""Metrics that in-training evaluation reports and that can choose the best checkpoint."""

LOWER_IS_BETTER = frozenset({"eval_log_loss", "eval_brier"})


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_not_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic reads true as 1 where a number is wanted.
        annotation = cls.model_fields[str(info.field_name)].annotation
        takes_truth = bool in (annotation, *map(type, get_args(annotation)))
        if isinstance(value, bool) and not takes_truth:
            raise PydanticCustomError("truth_value", "Input should not be true or false")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _nothing_is_blank(cls, value: Any) -> Any:
        entries = value if isinstance(value, list | tuple) else (value,)
        if any(isinstance(entry, str) and not entry.strip() for entry in entries):
            raise PydanticCustomError("blank", "Input should not be blank")
        return value


class ModelSection(Section):
    """Which language model to tune and how to load it."""

    name_or_path: Annotated[str, Field(min_length=1)] = "Qwen/Qwen3-0.6B"
    revision: str | None = None
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = "auto"


class QuantizationSection(Section):
    """Whether the frozen base model is held in 4 bits (QLoRA)."""

    load_in_4bit: bool = False
    quant_type: Literal["nf4", "fp4"] = "nf4"
    double_quant: bool = True
    allow_cpu: bool = False


class LoraSection(Section):
    """The adapter."""

    r: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Fraction = 0.05
    target_modules: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = (
        "all-linear"
    )


class PromptSection(Section):
    """How an example is put into words."""

    form: Literal["window", "interview"] = "interview"
    genres: bool = False
    signals: tuple[SignalKind, ...] = ("recent", "expected")

    @field_validator("signals")
    @classmethod
    def _each_once(cls, kinds: tuple[SignalKind, ...]) -> tuple[SignalKind, ...]:
        if len(set(kinds)) < len(kinds):
            raise PydanticCustomError("repeated", "Name each signal once")
        # One order, so that equal sets give equal prompts.
        return tuple(kind for kind in SIGNALS if kind in kinds)


class DataSection(Section):
    """Which examples are read, and where they are cached."""

    prepared_dir: Path = Path("data/movielens_qwen3")
    cache_dir: Path = Path(".cache/preprocessed")
    max_length: PositiveInt = 8192
    max_train_examples: PositiveInt | None = None
    max_eval_examples: PositiveInt | None = 5000


class TrainSection(Section):
    """The training run."""

    output_dir: Path = Path("output/qwen3-movielens-qlora")
    share_history: bool = True
    block_size: PositiveInt = 60
    pack_length: Annotated[int, Field(gt=0, multiple_of=128)] = 8192
    compile: bool = True
    loss: Literal["answer", "yes_no"] = "answer"
    pairwise_weight: Annotated[float, Field(ge=0)] = 2.0
    epochs: Annotated[float, Field(gt=0)] = 1.0
    max_steps: PositiveInt | None = None
    batch_size: PositiveInt = 2
    gradient_accumulation_steps: PositiveInt = 1
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: Fraction = 0.03
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    optimizer: Literal[
        "adamw_torch",
        "adamw_torch_fused",
        "adamw_bnb_8bit",
        "paged_adamw_8bit",
        "paged_adamw_32bit",
        "adafactor",
        "sgd",
    ] = "adamw_torch"
    gradient_checkpointing: Literal["auto", True, False] = "auto"
    logging_steps: PositiveInt = 10
    eval_steps: PositiveInt = 50
    save_steps: PositiveInt = 100
    save_total_limit: Annotated[int, Field(ge=2)] = 2
    metric_for_best_model: str = "eval_log_loss"
    early_stopping_patience: PositiveInt | None = 4
    early_stopping_min_delta: Annotated[float, Field(ge=0)] = 0.0
    dataloader_num_workers: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42

    @property
    def layout(self) -> Layout:
        """Whether examples form blocks or each stands alone."""
        return "blocks" if self.share_history else "single"


class ScoringSection(Section):
    """How predictions are computed."""

    share_history: bool = True
    tokens_per_batch: PositiveInt = 16384
    calibration: Literal["none", "temperature", "platt", "isotonic"] = "none"

    @property
    def layout(self) -> Layout:
        """Whether examples form blocks or each stands alone."""
        return "blocks" if self.share_history else "single"


class EvaluationSection(Section):
    """What ``evaluate`` and ``compare`` read and show."""

    max_examples: PositiveInt | None = None
    validation_examples: PositiveInt | None = None
    baselines: bool = True
    ablation_examples: Annotated[int, Field(ge=0)] = 500
    bootstrap_samples: PositiveInt = 1000
    samples: Annotated[int, Field(ge=0)] = 6


class ServingSection(Section):
    """What ``serve`` listens on, and what it refuses."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, lt=2**16)] = 8000
    token_env: Annotated[str, Field(min_length=1)] = "REELTUNE_TOKEN"
    max_body_bytes: PositiveInt = 262144
    max_history: PositiveInt = 1000
    max_candidates: PositiveInt = 5000
    default_candidates: PositiveInt | None = None
    max_top: Annotated[int, Field(ge=10)] = 100
    max_requests: PositiveInt = 64
    max_batch_queries: PositiveInt = 256
    target_batch_seconds: Annotated[float, Field(gt=0)] = 1.0
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    receive_timeout_s: PositiveInt = 10
    shutdown_s: PositiveInt = 30


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


def contradictions(config: Config) -> list[Problem]:
    """Return a problem for each pair of settings that cannot be combined."""
    found: list[Problem] = []
    train = config.train
    if train.metric_for_best_model not in EVAL_METRICS:
        found.append(
            Problem(
                "train.metric_for_best_model",
                "unknown_metric",
                f"{train.metric_for_best_model!r} is not measured during training",
                f"Choose one of {', '.join(EVAL_METRICS)}",
            )
        )
    if train.save_steps % train.eval_steps:
        found.append(
            Problem(
                "train.save_steps",
                "save_between_evaluations",
                f"{train.save_steps} is not a multiple of train.eval_steps {train.eval_steps}, so "
                "a checkpoint could be saved without a metric",
                "Change train.save_steps or train.eval_steps",
            )
        )
    if train.pairwise_weight and not train.share_history:
        found.append(
            Problem(
                "train.pairwise_weight",
                "pairs_need_blocks",
                "films are compared within a block, and without train.share_history there are none",
                "Set train.share_history to true, or train.pairwise_weight to 0",
            )
        )
    elif train.pairwise_weight and train.block_size == 1:
        found.append(
            Problem(
                "train.pairwise_weight",
                "pairs_need_blocks",
                "films are compared within a block, and with train.block_size 1 each block has "
                "one film",
                "Raise train.block_size, or set train.pairwise_weight to 0",
            )
        )
    if config.model.attention == "flash_attention_2" and config.model.dtype == "float32":
        found.append(
            Problem(
                "model.dtype",
                "flash_attention_needs_16_bits",
                "Flash Attention has no float32 kernels",
                "Set model.dtype to bfloat16, or model.attention to sdpa",
            )
        )
    banned = {"lm_head", "embed_tokens"}
    targets = config.lora.target_modules
    if isinstance(targets, tuple) and banned & {name.rpartition(".")[2] for name in targets}:
        found.append(
            Problem(
                "lora.target_modules",
                "tied_weights_targeted",
                "lm_head and embed_tokens share their weights in small models and cannot be "
                "adapted separately",
                "Leave them out",
            )
        )
    return found
