"""The domain: items, ratings, and the words of a prompt. It imports no other package."""

from reeltune.domain.context_lines import SIGNALS, ContextKind, SignalKind
from reeltune.domain.items import (
    HALF_STARS,
    WHOLE_STARS,
    Item,
    RatingScale,
    format_rating,
    plain_text,
)
from reeltune.domain.prompt_settings import (
    INTERVIEW,
    PROMPT_VERSION,
    WINDOW,
    Form,
    PromptSettings,
)
from reeltune.domain.renderer import NO, YES, Renderer

__all__ = [
    "HALF_STARS",
    "INTERVIEW",
    "NO",
    "PROMPT_VERSION",
    "SIGNALS",
    "WHOLE_STARS",
    "WINDOW",
    "YES",
    "ContextKind",
    "Form",
    "Item",
    "PromptSettings",
    "RatingScale",
    "Renderer",
    "SignalKind",
    "format_rating",
    "plain_text",
]
