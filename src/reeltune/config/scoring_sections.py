"""The sections of whatever uses a trained model: scoring, evaluation and serving."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt

from reeltune.config.section import Section, key

_key: Final = partial(key, resume=True)
"""A key that may change between a run and its ``--resume``: training does not read it."""


class ScoringSection(Section):
    """How predictions are computed."""

    share_history: bool = key(
        True,
        "Histories of validation and test examples, in training's evaluations, `evaluate` and "
        "`compare`. `true`: the history grows within a block from the prepared length to that plus "
        "`train.block_size` - 1, and is computed once. `false`: every history has the prepared "
        "length. A sample holds the same examples either way.",
        "you compare with other work that uses histories of fixed length (`false`). The figures of "
        "the two are not comparable.",
        "`false` reads the whole history again for every example.",
    )
    tokens_per_batch: PositiveInt = _key(
        16384,
        "Maximum tokens, padding included, per forward pass when scoring. A longer block of "
        "windows is divided, its history repeated before each part; an interview is never divided "
        "and may exceed it.",
        "scoring runs out of memory (lower).",
        "memory of one pass. Predictions stay equal up to rounding.",
    )
    prefix_cache_mib: Annotated[int, Field(ge=0)] = _key(
        256,
        "`recommend`, `score`, `serve` and the API on a CPU: MiB for the keys and values of the "
        "histories read last. A prompt computes what follows the longest beginning it has in "
        "common with one of them. `0` keeps none. `score` forgets them after every shard, so that "
        "no prediction depends on which shards came before.",
        "more conversations go on at once than fit: SmolLM2-135M in float32 takes 45 KiB per "
        "token, Qwen3-0.6B 224 KiB.",
        "memory. Predictions stay equal up to rounding.",
    )
    merge_adapter: bool = _key(
        True,
        "`recommend`, `score`, `serve` and the API on a CPU in float32: predict with the adapter "
        "added to copies of the weights it changes, so that its matrices cost no time. "
        "The base model's predictions use the weights as they were.",
        "memory is short (`false`).",
        "the copies: 0.4 GiB for SmolLM2-135M, 1.6 GiB for Qwen3-0.6B, nothing where the fusion "
        "leaves the model out. Predictions stay equal up to rounding.",
    )
    calibration: Literal["none", "temperature", "platt", "isotonic"] = _key(
        "none",
        "Calibration of P(Yes). `none`: as the model gives it. `temperature`, `platt`, `isotonic`: "
        "with the parameters that `reeltune evaluate` fits on validation rows and stores beside "
        "the adapter as `calibration.json`; if that file is missing or was fitted for another "
        "prompt form or history layout, commands stop. Training and the base model are never "
        "calibrated. See [EVALUATION.md](EVALUATION.md#calibration).",
        "P(Yes) is read as a probability: `platt`, or `temperature` with few validation rows; "
        "`isotonic` with thousands of them and a curved reliability diagram.",
    )
    fusion: Literal["auto", "none"] = _key(
        "auto",
        "What answers. `auto`: the model's log-odds combined with gradient boosting, a "
        "sequence model and the prompt's signals ([EVALUATION.md](EVALUATION.md#the-fusion)), as "
        "`train` and `evaluate` fit it, if that was clearly better on validation rows than the "
        "model alone. `none`, or `--no-fusion`: the model alone, to which alone "
        "`scoring.calibration` applies.",
        "the language model itself is measured or compared.",
        "training ends with fitting both, a minute for 100,000 ratings; answers take a few "
        "milliseconds more.",
    )
    allow_domain_shift: bool = _key(
        False,
        "Predict with an adapter that was trained on data of another domain, rating scale or "
        "threshold (`reeltune prepare --domain`), or with other `--signals-from`. These are as in "
        "the data to predict, all other prompt settings as in training. `--allow-domain-shift` "
        "sets it.",
        "you measure how an adapter transfers.",
    )


class EvaluationSection(Section):
    """What ``evaluate`` and ``compare`` read and show."""

    max_examples: PositiveInt | None = _key(
        None,
        "Score a random sample of this many examples, in whole blocks; `null` takes the whole "
        "split. `evaluate` uses as many validation rows at most. `--max-examples` sets it.",
        "you want a quick look.",
        "time.",
    )
    validation_examples: PositiveInt | None = _key(
        None,
        "`evaluate`: validation rows that choose thresholds, calibration and the settings of "
        "baselines; a random sample of whole blocks, `null` takes all.",
        "you want a quick look.",
        "time; fewer rows choose worse.",
    )
    baselines: bool = _key(
        True,
        "`evaluate`: fit classical baselines on the training rows and score the same rows with "
        "them. `--no-baselines` leaves them out.",
        "only the model matters.",
        "one to two minutes for 100,000 ratings.",
    )
    ablation_examples: Annotated[int, Field(ge=0)] = _key(
        500,
        "`evaluate`: rows predicted again with the history shuffled, ratings hidden, titles "
        "replaced and histories swapped; `0` skips that. `--ablations` sets it.",
        "their intervals are too wide (more), or you have only a CPU (fewer).",
        "five or six single prompts for each row.",
    )
    bootstrap_samples: PositiveInt = _key(
        1000,
        "`evaluate`: bootstrap samples of users behind every interval.",
        "you need more digits of an interval's ends.",
        "time of the intervals.",
    )
    samples: Annotated[int, Field(ge=0)] = _key(
        6,
        "Examples that `compare` shows in full, with the text each model generates. `--samples` "
        "sets it.",
        "you want to read more.",
        "two generations per sample.",
    )


class ServingSection(Section):
    """What ``serve`` listens on, and its limits.

    A request over a limit gets an error that names it: status 413 for bodies, 422 for contents, 503
    for too many requests at once. ``GET /health`` lists the limits.
    """

    host: Annotated[str, Field(min_length=1)] = _key(
        "127.0.0.1",
        "Address to listen on; `--host` sets it. On loopback, only requests addressed to "
        "`localhost` or a loopback address are served. Any other address requires a token.",
        "other machines send requests: `0.0.0.0`, behind a proxy with TLS.",
    )
    port: Annotated[int, Field(ge=0, lt=2**16)] = _key(
        8000,
        "Port to listen on; `--port` sets it, and 0 takes any free one.",
        "it is in use.",
    )
    token_env: Annotated[str, Field(min_length=1)] = _key(
        "REELTUNE_TOKEN",
        "Environment variable that holds the bearer token of requests, at least 16 characters. If "
        "it is not set, loopback requests need no token.",
        "several services run in one environment.",
    )
    max_body_bytes: PositiveInt = _key(
        262144,
        "Largest request body, in bytes; a larger one is refused without being read to its end.",
        "requests with thousands of ratings are usual.",
        "memory of every waiting request.",
    )
    max_history: PositiveInt = _key(
        1000,
        "Maximum ratings per request. The model gets the newest of them, as many as the data was "
        "prepared with or `--history` says.",
        "clients send all ratings of a user.",
        "hardly any.",
    )
    max_candidates: PositiveInt = _key(
        5000,
        "Maximum items that one request may have predicted.",
        "all items of a large edition are to be ranked at once, on a GPU.",
        "time of that request; others are served in between.",
    )
    default_candidates: PositiveInt | None = _key(
        None,
        "Items predicted for recommendations if the request does not say: this many of the most "
        "rated eligible ones. `null`: 100 on a CPU, `serving.max_candidates` elsewhere.",
        "the CPU is fast enough for more, or too slow for 100.",
        "time of such requests.",
    )
    max_top: Annotated[int, Field(ge=10)] = _key(
        100,
        "Maximum items that one request may have returned, at least 10.",
        "result pages are long.",
        "hardly any; with `reasons`, every returned item is predicted once more per rating shown.",
    )
    max_requests: PositiveInt = _key(
        64,
        "Maximum requests for predictions and recommendations in progress or waiting. Others get "
        "status 503.",
        "clients would rather wait than retry (higher), or the reverse (lower).",
        "waiting time.",
    )
    max_batch_queries: PositiveInt = _key(
        256,
        "Maximum queries per batch of the model; 1 answers them one after the other.",
        "you measure what batching is worth.",
        "batching is faster unless a single query keeps the machine busy.",
    )
    target_batch_seconds: Annotated[float, Field(gt=0)] = _key(
        1.0,
        "Target duration of a batch, in seconds; its size follows from the speed of the last ones "
        "and is bounded by `scoring.tokens_per_batch`. Requests that arrive during a batch wait "
        "for it to finish.",
        "long requests should delay short ones less (lower).",
        "small batches compute a history more often for one request with many candidates.",
    )
    timeout_s: Annotated[float, Field(gt=0)] = _key(
        60.0,
        "Seconds after which an unanswered request gets status 503. Work not begun for it is "
        "dropped.",
        "requests are large and the machine slow (higher).",
    )
    receive_timeout_s: PositiveInt = _key(
        10,
        "Seconds a client may take to send the headers of a request, to send its body, and to stay "
        "silent on an open connection.",
        "clients are far away.",
    )
    shutdown_s: PositiveInt = _key(
        30,
        "Seconds that requests in progress have after SIGTERM or Ctrl+C.",
        "the process manager waits for less time, or requests take longer.",
    )
