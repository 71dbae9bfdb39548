"""P(Yes) of users and items by a model on a vLLM server, with prompts that reeltune renders.

python examples/vllm_scoring.py http://localhost:8000 films output/run data/prepared pairs.csv
"""

import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import requests

from reeltune.bulk.input_table import InputRows, InvalidRows
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.tasks import shared_queries
from reeltune.config.model_sections import PromptSection
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Renderer
from reeltune.errors import ReeltuneError
from reeltune.models.pretrained import load_tokenizer
from reeltune.models.prompt_record import (
    read_prompt_record,
    refuse_other_prompt,
    refuse_other_tokenizer,
)
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import prompt_settings
from reeltune.scoring.predictor import Query, query_sequences
from reeltune.signals.folder import with_signals


def main(url: str, model: str, adapter: str, prepared: str, pairs_file: str) -> None:
    """Print the pairs, columns ``user_id`` and ``item_id``, with P(Yes).

    Args:
        url: The server's address.
        model: The name under which it serves the adapter or the merged weights.
        adapter: The run or the export, for its prompt and tokenizer.
        prepared: The prepared folder with the users' ratings.
        pairs_file: A CSV file.
    """
    folder, tokens = open_prompts(Path(adapter), Path(prepared))
    limit = longest_prompt(url, model)
    lookup = Lookup(folder)
    pairs = pl.read_csv(pairs_file).select("user_id", "item_id")
    rows = InputRows.resolve(pairs.to_arrow(), lookup)
    if len(rows.valid) < len(pairs):
        invalid = InvalidRows()
        invalid.add(pairs.to_arrow(), rows)
        raise invalid.error(pairs_file)
    labels = [tokens.answers.yes, tokens.answers.no]
    p_yes = np.empty(len(pairs))
    # Rows with the same user and history share a request.
    for group, query in zip(*shared_queries(rows, lookup, sys.maxsize), strict=True):
        body = scoring_request(model, prompts_of(folder, tokens, query, limit), labels)
        p_yes[group] = scores(call("POST", f"{url}/generative_scoring", body), body)
    print(pairs.with_columns(p_yes=p_yes).write_csv(), end="")


def open_prompts(adapter: Path, prepared: Path) -> tuple[PreparedFolder, PromptTokens]:
    """Return the data with the adapter's signals, and the pieces of its prompts."""
    trained = read_prompt_record(adapter).settings
    folder = PreparedFolder.open(prepared)
    folder = with_signals(folder, trained.signals, None, trained.gaussian_process)
    section = PromptSection(
        form=trained.form,
        genres=trained.genres,
        signals=trained.signals,
        item_text_tokens=trained.item_text_tokens,
    )
    settings = prompt_settings(folder, section)
    refuse_other_prompt(adapter, settings, folder.history_len)
    tokenizer = load_tokenizer(str(adapter))
    refuse_other_tokenizer(adapter, tokenizer)
    return folder, PromptTokens(tokenizer, Renderer(settings), folder.items, folder.tags)


def prompts_of(
    folder: PreparedFolder, tokens: PromptTokens, query: Query, limit: int
) -> list[list[int]]:
    """Return the token ids of every candidate's prompt, up to where the answer begins."""
    history, context = folder.context.of_query(
        query.history, query.candidates, folder.history_len, query.asked_at
    )
    shown = Query(history, query.candidates, context)
    prompts = [row.tolist() for row in query_sequences(tokens, [shown]).alone()]
    if (longest := max(map(len, prompts))) > limit:
        raise SystemExit(
            f"a prompt has {longest} tokens, and the model reads {limit}. "
            f"Let it read at least {longest}, or prepare with a shorter history"
        )
    return prompts


def longest_prompt(url: str, model: str) -> int:
    """Return the most tokens that the server reads: it drops further ones in silence."""
    cards = {card["id"]: card for card in call("GET", f"{url}/v1/models")["data"]}
    if model not in cards:
        raise SystemExit(f"{url}: serves {', '.join(cards)}, and not {model}")
    base = cards[cards[model]["parent"] or model]  # an adapter has the length of its base
    return base["max_model_len"] - 1  # one for the answer


def scoring_request(model: str, prompts: list[list[int]], labels: list[int]) -> dict[str, Any]:
    """Return a request: what all prompts begin with as its query, the rest as its items."""
    equal = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*prompts, strict=False))
    shared = min(len(list(equal)), min(map(len, prompts)) - 1)
    return {
        "model": model,
        "query": prompts[0][:shared],
        "items": [prompt[shared:] for prompt in prompts],
        "label_token_ids": labels,  # the score is the probability of the first one
        "apply_softmax": True,
    }


def scores(response: dict[str, Any], body: dict[str, Any]) -> list[float]:
    """Return the score of each item, after checking that the server read every token."""
    items = body["items"]
    sent = len(items) * len(body["query"]) + sum(map(len, items))
    if response["model"] != body["model"] or response["usage"]["prompt_tokens"] != sent:
        raise SystemExit(
            f"sent {sent} tokens for {body['model']}, and {response['model']} read "
            f"{response['usage']['prompt_tokens']}"
        )
    by_index = {entry["index"]: entry["score"] for entry in response["data"]}
    return [by_index[i] for i in range(len(items))]


def call(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Call the server."""
    try:
        response = requests.request(method, url, json=body, timeout=600)
    except requests.RequestException as error:
        raise SystemExit(f"{url}: {error}") from None
    if not response.ok:
        raise SystemExit(f"{url}: {response.status_code} {response.text[:500]}")
    return response.json()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ReeltuneError as error:
        raise SystemExit(str(error)) from None
