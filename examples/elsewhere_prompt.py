"""The prompt of a reeltune adapter, written without reeltune; the scripts beside this use it."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any


def asked(folder: str, tokenizer: Any, items: list[str]) -> tuple[list[int], list[int]]:
    """Return the prompt's token ids, and the ids of Yes and No.

    Args:
        folder: A run or an export: what holds ``prompt.json``.
        tokenizer: The one saved there.
        items: What a user has rated, oldest first, as ``4.5: Heat (1995)``, then a film to judge.
    """
    prompt = json.loads((Path(folder) / "prompt.json").read_text(encoding="utf-8"))["settings"]
    if prompt["version"] != "5":
        raise SystemExit(f"{folder}: this writes prompts of version 5, not {prompt['version']}")
    if prompt.get("signals") or prompt.get("evidence"):  # the second is their name in 0.1
        raise SystemExit(f"{folder}: the prompt shows signals, which only reeltune computes")
    *rated, candidate = items
    pairs = (event.split(":", 1) for event in rated)
    events = [(float(rating), safe(item, tokenizer)) for rating, item in pairs]
    said = turns(prompt, events, safe(candidate, tokenizer))
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]
    # A window switches thinking off; an interview leaves the template's switch alone.
    switch = {"enable_thinking": False} if prompt["form"] == "window" else {}
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, **switch
    )
    ids, yes, no = (
        tokenizer(text + word, add_special_tokens=False)["input_ids"] for word in ("", "Yes", "No")
    )
    if not yes[:-1] == no[:-1] == ids:
        raise SystemExit(f"{folder}: Yes and No are not one token each")
    return ids, [yes[-1], no[-1]]


def turns(prompt: dict[str, Any], events: list[tuple[float, str]], candidate: str) -> list[str]:
    """Return what the user and the model say in turn, the user last."""
    scale = (
        f"Users rate films from {prompt['scale_min']:.1f} to {prompt['scale_max']:.1f} stars; "
        f"liking a film means rating it {prompt['threshold']:.1f} or higher. Answer Yes or No"
    )
    if prompt["form"] == "window":
        head = "Films this user has rated, oldest first, each after its stars:"
        lines = [f"{rating:.1f}: {item}" for rating, item in events]
        asks = [f"Film to judge: {candidate}", "Yes or No?"]
        start = f"Predict whether a user will like a film. {scale}."
        return ["\n".join([start, head, *lines, *asks])]
    start = "Predict, film after film, whether a user will like the next one."
    said, lead = [], f"{start} {scale}; after each answer you are told the stars.\nFirst:"
    for rating, item in events:
        said += [f"{lead} {item}\n", "Yes" if rating >= prompt["threshold"] else "No"]
        lead = f"{rating:.1f} stars. Next:"
    return [*said, f"{lead} {candidate}\n"]


def safe(item: str, tokenizer: Any) -> str:
    """Return a film on one line, with a space in all that would be read as a control token."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in item)
    text = re.sub(r"<(?=[|/]?[\w|]+[^<>]*>)", "< ", " ".join("".join(kept).split()))
    for token in tokenizer.get_added_vocab():
        if len(token) > 1 and any(unicodedata.category(c)[0] in "PS" for c in token):
            text = re.sub(f"{re.escape(token[0])}(?={re.escape(token[1:])})", r"\g<0> ", text)
    return text
