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
from reeltune.domain.renderer import (
    INTERVIEW,
    NO,
    PROMPT_VERSION,
    WINDOW,
    YES,
    Form,
    PromptSettings,
    Renderer,
)

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
