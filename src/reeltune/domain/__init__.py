"""The domain: items, the rating scale, and the words of a prompt. It imports no other package."""

from reeltune.domain.item import Item, plain_text
from reeltune.domain.prompt_settings import (
    CHANCE_STEPS,
    COUNTS,
    EVIDENCE,
    INTERVIEW,
    PROMPT_VERSION,
    SHARE_STEPS,
    WINDOW,
    Evidence,
    Form,
    PromptSettings,
)
from reeltune.domain.rating_scale import HALF_STARS, WHOLE_STARS, RatingScale, format_rating
from reeltune.domain.renderer import NO, YES, Renderer

__all__ = [
    "CHANCE_STEPS",
    "COUNTS",
    "EVIDENCE",
    "HALF_STARS",
    "INTERVIEW",
    "NO",
    "PROMPT_VERSION",
    "SHARE_STEPS",
    "WHOLE_STARS",
    "WINDOW",
    "YES",
    "Evidence",
    "Form",
    "Item",
    "PromptSettings",
    "RatingScale",
    "Renderer",
    "format_rating",
    "plain_text",
]
