"""The prompt of a reeltune adapter, built without reeltune; the other scripts import this."""

import json
import re
import unicodedata
from datetime import date
from pathlib import Path
from typing import Any


def encode_prompt(folder: str, tokenizer: Any, items: list[str]) -> tuple[list[int], list[int]]:
    """Return the token ids of the prompt, and those of Yes and No.

    Args:
        folder: A run or an export, which holds ``prompt.json``.
        tokenizer: The one saved there.
        items: Rated films, oldest first, as ``4.5: Heat (1995)``, then the candidate.
    """
    record = json.loads((Path(folder) / "prompt.json").read_text(encoding="utf-8"))
    prompt = record["settings"]
    if prompt["version"] != "5":
        raise SystemExit(f"{folder}: prompt version {prompt['version']} is not supported, only 5")
    if prompt.get("signals") or prompt.get("evidence"):  # the second is their name in 0.1
        raise SystemExit(f"{folder}: trained with prompt.signals, which only reeltune computes")
    if "domain" in prompt or "scale_step" in prompt or prompt["scale_max"] > 5:
        raise SystemExit(f"{folder}: trained on other words than of films and stars")
    *rated, candidate = items
    pairs = (event.split(":", 1) for event in rated)
    history = [(float(rating), safe(title, tokenizer)) for rating, title in pairs]
    contents = turns(prompt, history, safe(candidate, tokenizer))
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]
    # A window switches thinking off; an interview leaves the template's switch alone.
    switch: dict[str, Any] = {"enable_thinking": False} if prompt["form"] == "window" else {}
    if record.get("template_date"):  # the template writes a date: that of the training
        day = date.fromisoformat(record["template_date"])
        switch |= {"strftime_now": day.strftime, "date_string": day.strftime("%d %b %Y")}
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, **switch
    )
    ids, yes, no = (
        tokenizer(text + word, add_special_tokens=False)["input_ids"] for word in ("", "Yes", "No")
    )
    if not yes[:-1] == no[:-1] == ids:
        raise SystemExit(f"{folder}: Yes and No are not one token each")
    return ids, [yes[-1], no[-1]]


def turns(prompt: dict[str, Any], history: list[tuple[float, str]], candidate: str) -> list[str]:
    """Return the turns of user and model, beginning and ending with the user."""
    scale = (
        f"Users rate films from {prompt['scale_min']:.1f} to {prompt['scale_max']:.1f} stars; "
        f"liking a film means rating it {prompt['threshold']:.1f} or higher. Answer Yes or No"
    )
    if prompt["form"] == "window":
        heading = "Films this user has rated, oldest first, each after its stars:"
        lines = [f"{rating:.1f}: {title}" for rating, title in history]
        lines = [heading, *lines] if lines else []
        question = [f"Film to judge: {candidate}", "Yes or No?"]
        start = f"Predict whether a user will like a film. {scale}."
        return ["\n".join([start, *lines, *question])]
    start = "Predict, film after film, whether a user will like the next one."
    contents, lead = [], f"{start} {scale}; after each answer you are told the stars.\nFirst:"
    for rating, title in history:
        contents += [f"{lead} {title}\n", "Yes" if rating >= prompt["threshold"] else "No"]
        lead = f"{rating:.1f} stars. Next:"
    return [*contents, f"{lead} {candidate}\n"]


def safe(title: str, tokenizer: Any) -> str:
    """Return a title on one line, with a space in everything that looks like a control token."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in title)
    text = re.sub(r"<(?=[|/]?[\w|]+[^<>]*>)", "< ", " ".join("".join(kept).split()))
    for token in tokenizer.get_added_vocab():
        if len(token) > 1 and any(unicodedata.category(c)[0] in "PS" for c in token):
            text = re.sub(f"{re.escape(token[0])}(?={re.escape(token[1:])})", r"\g<0> ", text)
    return text
