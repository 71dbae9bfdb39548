"""The section of the training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from reeltune.config.model_sections import Fraction
from reeltune.config.section import Section, key
from reeltune.extras import Tracker


class TrainSection(Section):
    """The training run."""

    output_dir: Path = key(
        Path("output/qwen3-movielens-qlora"),
        "The run folder. A folder that holds a run is replaced only with `--overwrite`; one that "
        "holds anything else is refused.",
        "you want to keep an earlier run.",
        "disk: each checkpoint holds the adapter and the optimizer's state.",
        resume=True,
    )
    share_history: bool = key(
        True,
        "`true`: consecutive examples of a user form a block and share one history, which is "
        "computed once; each is learned exactly as if its prompt stood alone. `false`: one prompt "
        "per batch row.",
        "the model's attention cannot be shared (the run stops and says so), or you compare with "
        "plain fine-tuning: `false`, with `train.pairwise_weight` 0 and `scoring.share_history` "
        "`false` too.",
        "`true` reads far fewer tokens: on ml-latest-small with Qwen3's tokenizer `reeltune "
        "lengths` counts 39 for each training example as an interview and 49 as a window, against "
        "309 for an unshared window of 15 items.",
    )
    block_size: PositiveInt = key(
        60,
        "Maximum examples per block. The history grows through a block by one item per example, "
        "from the prepared length: up to 15 + 60 - 1 = 74 items by default. It also shapes "
        "held-out blocks (`scoring.share_history`) and samples.",
        "histories should stay near the prepared length, or a block does not fit into "
        "`train.pack_length` or `data.max_length` (lower).",
        "higher means fewer tokens per example and longer sequences.",
    )
    pack_length: Annotated[int, Field(gt=0, multiple_of=128)] = key(
        16_384,
        "Tokens per packed row, a multiple of 128 (a tile of attention on a GPU). A longer block "
        "stops the run. On CUDA every row has exactly this length; on a CPU a batch is as long as "
        "its fullest row. Unused if histories are not shared.",
        "memory is short and `train.batch_size` is 1 (lower).",
        "memory in proportion. Rows of five blocks and more hold hardly any padding.",
    )
    compile: bool = key(
        True,
        "Compile the model's decoder layers with torch.compile; only on CUDA and with shared "
        "histories.",
        "the run is short, or the compiler fails (`false`).",
        "faster steps; the first ones wait for the compiler.",
    )
    hide_signals: Annotated[float, Field(ge=0, le=1)] = key(
        0.0,
        "Share of the training sequences (blocks, or prompts if histories are not shared) that are "
        "shown without any line of `prompt.signals`, the same ones in every epoch; `1` hides all. "
        "The instruction announces the signals all the same, and validation and scoring always "
        "show them.",
        "the model learns from the signals alone and too little from the text.",
        "none; hidden lines make sequences shorter.",
    )
    loss: Literal["answer", "yes_no"] = key(
        "answer",
        "`answer`: cross entropy of the answer and the end of the turn over the whole vocabulary. "
        "`yes_no`: of Yes against No alone, which is what the metrics measure.",
        "you only read P(Yes), and the model need not learn to write an answer: with `yes_no` it "
        "is not taught to stop after one word.",
        "`yes_no` computes logits at half as many tokens.",
    )
    pairwise_weight: Annotated[float, Field(ge=0)] = key(
        2.0,
        "Weight of the pairwise ranking loss (RankNet) beside the cross entropy: for every liked "
        "and disliked item of one block, the negative log-probability that the liked one ranks "
        "first, averaged over the block's pairs. Needs `train.share_history`.",
        "items are to be ranked for one user: on validation rows the AUC within a user gained "
        "0.025 at 1 and 0.045 at 3 ([experiments/signals.md](experiments/signals.md)). Lower it "
        "if the AUC over all users or P(Yes) itself matters more: they lost 0.003 and 0.007 of log "
        "loss at 3. Use `0` with up to a thousand training rows ([QUALITY.md](QUALITY.md)).",
        "not noticeable.",
    )
    epochs: Annotated[float, Field(gt=0)] = key(
        1.0,
        "Passes over the training examples. Ignored if `train.max_steps` is set.",
        "validation still improves at the end.",
        "time.",
    )
    max_steps: PositiveInt | None = key(
        None,
        "Stop after this many steps; `null` follows `train.epochs`. The learning rate schedule is "
        "fitted to it.",
        "you try something out.",
        "time.",
    )
    batch_size: PositiveInt = key(
        2,
        "Rows per forward pass on one device: packed rows of blocks, or prompts if histories are "
        "not shared. The log states the average number of examples per step.",
        "memory is short (lower) or idle (higher), or you changed `train.share_history`.",
        "activations grow in proportion. Without shared histories, a batch is as long as its "
        "longest prompt.",
    )
    gradient_accumulation_steps: PositiveInt = key(
        1,
        "Forward and backward passes per step. Rows per step = batch size x this x processes.",
        "you lower the batch size and want the same step.",
        "memory of one pass only.",
    )
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = key(
        2e-4,
        "The highest learning rate of the schedule; above 0, below 1.",
        "the loss is unsteady (lower) or hardly falls (higher). Smaller models bear more.",
    )
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = key(
        "cosine",
        "Learning rate schedule after the warm-up: `linear`, `cosine`, `constant`, "
        "`constant_with_warmup`. `constant` has no warm-up.",
        "you compare runs of different length (`constant_with_warmup`).",
    )
    warmup_ratio: Fraction = key(
        0.03,
        "Share of the steps over which the learning rate rises from 0; 0 to below 1.",
        "the first losses jump.",
    )
    weight_decay: Annotated[float, Field(ge=0)] = key(
        0.0, "Decay of the adapter's weights towards zero, per step.", "a long run overfits."
    )
    max_grad_norm: Annotated[float, Field(gt=0)] = key(
        1.0,
        "Gradients with a larger norm are scaled down to it.",
        "the log shows norms far above it throughout.",
    )
    optimizer: Literal[
        "adamw_torch",
        "adamw_torch_fused",
        "adamw_bnb_8bit",
        "paged_adamw_8bit",
        "paged_adamw_32bit",
        "adafactor",
        "sgd",
    ] = key(
        "adamw_torch",
        "An optimizer by its name in transformers: `adamw_torch`, `adamw_torch_fused` (fewer "
        "kernels on CUDA), `adamw_bnb_8bit`, `paged_adamw_8bit` and `paged_adamw_32bit` "
        "(bitsandbytes), `adafactor`, `sgd`.",
        "the adapter is large and memory short (an 8-bit one).",
        "Adam keeps two float32 numbers per trainable weight, `sgd` none. Small beside the base "
        "model at rank 16.",
    )
    gradient_checkpointing: Literal["auto", True, False] = key(
        "auto",
        "`true`: keep only each layer's input for the backward pass and recompute the rest. "
        "`false`: keep all activations. `auto` recomputes if the estimate for the fullest batch "
        "exceeds 70 % of the free memory.",
        "the automatic choice is wrong: out of memory (`true`), or far from it (`false`).",
        "far less memory, for about one more forward pass per step.",
    )
    logging_steps: PositiveInt = key(
        10,
        "Steps between log lines (loss, gradient norm, learning rate, time left) and between "
        "points in TensorBoard.",
        "a run is short.",
        "hardly any.",
        resume=True,
    )
    eval_steps: PositiveInt = key(
        100,
        "Steps between evaluations on the validation examples; one more precedes the first step, "
        "and one follows the last.",
        "an evaluation is a large part of the time (higher), or the run is short (lower).",
        "time of one evaluation each.",
    )
    save_steps: PositiveInt = key(
        100,
        "Steps between checkpoints, a multiple of `train.eval_steps`. An evaluation that is the "
        "best so far also writes one.",
        "you expect interruptions.",
        "disk, and seconds.",
    )
    save_total_limit: Annotated[int, Field(ge=2)] = key(
        2,
        "Number of checkpoints kept, at least 2: the newest and the best are among them.",
        "you want to inspect earlier steps.",
        "disk.",
        resume=True,
    )
    metric_for_best_model: str | None = key(
        "eval_log_loss",
        "Metric that chooses the step whose adapter is kept and that early stopping watches: "
        "`eval_auc`, `eval_auc_per_user_mean`, `eval_accuracy`, `eval_f1`, `eval_log_loss` or "
        "`eval_brier` (for the last two, lower is better); `null` keeps the last step. See "
        "[EVALUATION.md](EVALUATION.md).",
        "validation rows are too few to choose a step (`null`), or you rank within a user "
        "(`eval_auc_per_user_mean`, which needs many validation users with both labels) rather "
        "than read P(Yes) as a probability (`eval_log_loss`).",
    )
    early_stopping_patience: PositiveInt | None = key(
        4,
        "Stop after this many consecutive evaluations without a better metric; `null` never stops "
        "early.",
        "a run is short (`null`), or validation is noisy (higher).",
        "can save the rest of the run.",
    )
    early_stopping_min_delta: Annotated[float, Field(ge=0)] = key(
        0.0,
        "Smallest change of the metric that counts as an improvement.",
        "tiny gains keep a run alive.",
    )
    dataloader_num_workers: Annotated[int, Field(ge=0)] = key(
        0,
        "Processes that build batches beside the training; `0` builds them in the training "
        "process.",
        "the GPU waits for data.",
        "memory per process.",
        resume=True,
    )
    report_to: tuple[Tracker, ...] = key(
        ("tensorboard",),
        "Where losses, validation metrics, speed, memory and hyperparameters are sent, through the "
        "integrations of transformers: `tensorboard` (the run's `logs` folder), `wandb`, `mlflow`, "
        "`trackio`; `[]` for nowhere. All but the first need the extra of the same name.",
        "you use an experiment tracker: `[tensorboard, wandb]`.",
        "hardly any.",
        resume=True,
    )
    run_name: str | None = key(
        None,
        "The run's name in `wandb`, `mlflow` and `trackio`; `null` takes that of the run folder.",
        "several runs have folders of one name.",
        resume=True,
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = key(
        42,
        "Root of all randomness: the adapter's initial weights, the order and samples of rows, "
        "dropout, and the samples that `evaluate` and `compare` take.",
        "you measure how much a result varies by chance.",
    )
