"""The domain: items, the rating scale, and the words of a prompt. It imports no other package."""

from reeltune.domain.item import Item, plain_text
from reeltune.domain.prompt_settings import (
    CHANCE_STEPS,
    COUNTS,
    INTERVIEW,
    PROMPT_VERSION,
    SHARE_STEPS,
    SIGNALS,
    WINDOW,
    Form,
    PromptSettings,
    SignalKind,
)
from reeltune.domain.rating_scale import HALF_STARS, WHOLE_STARS, RatingScale, format_rating
from reeltune.domain.renderer import NO, YES, Renderer

__all__ = [
    "CHANCE_STEPS",
    "COUNTS",
    "HALF_STARS",
    "INTERVIEW",
    "NO",
    "PROMPT_VERSION",
    "SHARE_STEPS",
    "SIGNALS",
    "WHOLE_STARS",
    "WINDOW",
    "YES",
    "Form",
    "Item",
    "PromptSettings",
    "RatingScale",
    "Renderer",
    "SignalKind",
    "format_rating",
    "plain_text",
]
