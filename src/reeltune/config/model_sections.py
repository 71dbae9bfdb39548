"""The sections that decide what is trained on what: model, adapter, prompt and data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator
from pydantic_core import PydanticCustomError

from reeltune.config.section import Section, key
from reeltune.domain import ITEM_TEXT_TOKENS, SIGNALS, SignalKind

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class ModelSection(Section):
    """Which language model is tuned, and how it is loaded."""

    name_or_path: Annotated[str, Field(min_length=1)] = key(
        "Qwen/Qwen3-0.6B",
        "Hub name or local folder of a Hugging Face causal language model. It needs a chat "
        "template, and Yes and No must be one token each; both are checked at the start.",
        "you want another model, or the hub cannot be reached (`models/smollm2-135m` after "
        "`reeltune fetch smollm2-135m`).",
        "memory and time per token grow with the number of weights.",
    )
    revision: str | None = key(
        None,
        "Branch, tag or commit on the hub; `null` is the hub's default branch.",
        "a result has to be repeatable: name a commit.",
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = key(
        "auto",
        "Number type of weights and computation: `auto`, `bfloat16`, `float16`, `float32`. `auto` "
        "is bfloat16 where the hardware has instructions for it, else float16 on a CUDA GPU (with "
        "loss scaling) and float32 elsewhere. The adapter's own weights stay in float32.",
        "you compare runs across machines (name the type).",
        "the 16-bit types halve weights and most activations. bfloat16 on a CPU without its "
        "instructions is slower than float32.",
    )
    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = key(
        "auto",
        "Attention kernel for plain prompts: `auto`, `sdpa`, `flash_attention_2`, `eager`. `auto` "
        "is `sdpa`, PyTorch's own. `flash_attention_2` needs flash-attn, a CUDA GPU and a 16-bit "
        "type; if one is missing, the run uses `sdpa` and says so. Packed rows "
        "(`train.share_history`) always use FlexAttention on CUDA and plain matrix products on a "
        "CPU.",
        "histories are not shared and flash-attn is installed, or you debug (`eager`).",
        "`eager` keeps a length x length matrix for each head and is the slowest.",
    )


class QuantizationSection(Section):
    """Whether the frozen base model is held in 4 bits (QLoRA)."""

    load_in_4bit: bool = key(
        False,
        "Hold the frozen linear layers in 4 bits, through bitsandbytes. Without a CUDA GPU the run "
        "is LoRA on the unquantized base and says so. `evaluate` and `compare` use the setting of "
        "the adapter's run.",
        "the model does not fit into memory, or a larger one should.",
        "those weights take about a quarter of their 16-bit size; each use unpacks them again, "
        "which costs time.",
    )
    quant_type: Literal["nf4", "fp4"] = key(
        "nf4",
        "The 4-bit code: `nf4` (levels spaced for normally distributed weights) or `fp4`.",
        "you compare the two.",
    )
    double_quant: bool = key(
        True,
        "Quantize the scaling factors of the 4-bit blocks as well.",
        "you want to exclude it as the reason for odd results.",
        "saves a little memory.",
    )
    allow_cpu: bool = key(
        False,
        "Use 4 bits on a machine without a GPU as well.",
        "you check a QLoRA configuration before you have the GPU.",
        "slow; meant for tiny models.",
    )


class LoraSection(Section):
    """The adapter."""

    r: PositiveInt = key(
        16,
        "Rank: the inner dimension of the two matrices added to each adapted layer.",
        "validation still improves at the end (higher), or a long run overfits (lower).",
        "trainable weights, their gradients and the optimizer's state grow in proportion.",
    )
    alpha: PositiveInt = key(
        32,
        "The adapter's output is scaled by alpha / r.",
        "you change `lora.r`, to keep the ratio.",
    )
    dropout: Fraction = key(
        0.0,
        "Share of the adapter's inputs set to zero in training; 0 to below 1.",
        "a run overfits (higher).",
        "time and activations in every adapted layer, most felt on a CPU.",
    )
    target_modules: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = key(
        "all-linear",
        "Which layers get an adapter: `all-linear` is every linear layer except the head; or a "
        "list of layer names such as `[q_proj, v_proj]`. `lm_head` and `embed_tokens` are refused: "
        "small models share their weights.",
        "you want a smaller adapter.",
        "fewer layers, fewer trainable weights and less work per step.",
    )
    top_layers: Annotated[float, Field(gt=0, le=1)] = key(
        1.0,
        "Share of the decoder layers that get an adapter, counted from the output (PEFT's "
        "`layers_to_transform`): 0.5 is the upper half. The layers below stay those of the base "
        "model, and the backward pass ends above them.",
        "training takes too long (lower), or the model has few rows to learn from (1).",
        "time and memory of the backward pass grow with it.",
    )
    extra: dict[str, Any] = key(
        {},
        "Further options of PEFT's `LoraConfig` by their names there, such as `{use_dora: true}`, "
        "`{use_rslora: true}` or `{init_lora_weights: gaussian}`; PEFT checks them. Options that "
        "change the base model's own weights are refused.",
        "you know the method: DoRA (`use_dora`), rank-stabilized scaling (`use_rslora`).",
        "depends on the option. DoRA takes more time and memory in every adapted layer.",
    )
    init_from: Path | None = key(
        None,
        "Run folder of a trained adapter to continue from: training begins with its weights, and "
        "step 0 evaluates it. `null` begins with a new adapter. Base model, ratings and the other "
        "keys of this section except `lora.dropout` must be those of that run; the prompt may "
        "differ.",
        "you train in stages, for example first with `prompt.signals` `[]`.",
    )


class PromptSection(Section):
    """How an example is rendered as a prompt.

    Changing a key here makes another prompt, so an adapter trained before is refused.
    """

    form: Literal["window", "interview"] = key(
        "interview",
        "`interview`: a conversation with a question and an answer for every past item, whose "
        "rating follows in the next turn. `window`: the history as a list, then one candidate, in "
        "one user turn with thinking switched off; `train.json` has this form.",
        "the model's chat template renders past and current turns differently (the run stops and "
        "says so), or the adapter is to answer plain one-question chats (`window`).",
        "in blocks, an interview holds every item once, a window twice: in the history, and as a "
        "candidate with its question.",
    )
    genres: bool = key(
        False,
        "Show each item's genres after its title, in training and scoring. (`reeltune prepare "
        "--genres` concerns the JSON files only.)",
        "the model is too small to know the items by name.",
        "longer prompts: more memory and time per example. See `reeltune lengths`.",
    )
    signals: tuple[SignalKind, ...] = key(
        ("recent", "expected"),
        "Collaborative signals, one line each for every item in question, computed from the past "
        "alone: `item` is the share of other users who liked it and their number, `user` the share "
        "of items the user has liked so far and their number, `recent` that share among the newest "
        "ones, `expected` the probability of a like according to a Gaussian process over all "
        "earlier events of the user and over how others rate those items and this one.",
        "you measure what they bring (`[]` for none). With `expected`, the first training on a "
        "large edition takes time: see [PERFORMANCE.md](PERFORMANCE.md). How much they help: "
        "[QUALITY.md](QUALITY.md).",
        "about 9 more tokens per event and line; in a window, per candidate.",
    )
    item_text_tokens: PositiveInt = key(
        ITEM_TEXT_TOKENS,
        "Maximum tokens of each column of item text (`reeltune prepare --item-text`), counted "
        "without its label. A longer text is cut between words, and the log says how many were.",
        "texts that matter are cut (more), or prompts do not fit (fewer).",
        "in an interview, up to so many tokens per event and column; in a window, per candidate.",
    )

    @field_validator("signals")
    @classmethod
    def _each_once(cls, kinds: tuple[SignalKind, ...]) -> tuple[SignalKind, ...]:
        if len(set(kinds)) < len(kinds):
            raise PydanticCustomError("repeated", "Name each signal once")
        # One order, so that equal sets give equal prompts.
        return tuple(kind for kind in SIGNALS if kind in kinds)


class DataSection(Section):
    """Which examples are read, and where they are cached."""

    prepared_dir: Path = key(
        Path("data/movielens_qwen3"),
        "The folder `reeltune prepare` wrote.",
        "you prepared another folder.",
    )
    cache_dir: Path = key(
        Path(".cache/preprocessed"),
        "Folder of tokenized rows. It holds one set of training rows and one of validation rows; "
        "a stale set is replaced, and the log says what had changed.",
        "two configurations alternate: give each its own.",
        "a hit skips tokenizing.",
        resume=True,
    )
    max_length: PositiveInt = key(
        8192,
        "Maximum tokens, answer and end of turn included, of the single prompt that a prediction "
        "equals, whether or not it shares its history. A longer prompt stops the run and `reeltune "
        "lengths`; nothing is truncated.",
        "`reeltune lengths` reports prompts that do not fit.",
        "none: it is a bound, not a size.",
    )
    max_train_examples: PositiveInt | None = key(
        None,
        "Train on a random sample of this many examples; `null` takes all. The sample consists of "
        "whole blocks (the last is shortened to fit), is the same with and without shared "
        "histories, and depends on `train.seed` and `train.block_size`.",
        "you try something out, or have no GPU.",
        "time of an epoch.",
    )
    max_eval_examples: PositiveInt | None = key(
        5000,
        "Validation examples scored at each evaluation, a random sample of whole blocks; `null` "
        "takes all.",
        "the validation metrics are noisy (more), or evaluations take too long (fewer).",
        "time of every evaluation.",
    )
