"""The domain: items, ratings, and the words of a prompt. It imports no other package."""

from reeltune.domain.context_lines import (
    GP_HYPERPARAMETERS,
    RENAMED_SIGNALS,
    SIGNALS,
    ContextKind,
    GPHyperparameters,
    SignalKind,
)
from reeltune.domain.items import (
    HALF_STARS,
    WHOLE_STARS,
    Item,
    RatingScale,
    plain_text,
)
from reeltune.domain.renderer import (
    INTERVIEW,
    ITEM_TEXT_TOKENS,
    NO,
    PROMPT_VERSION,
    WINDOW,
    YES,
    Form,
    PromptSettings,
    Renderer,
)
from reeltune.domain.words import FILM, FILM_STARS, Domain, RatingWords, capitalized

__all__ = [
    "FILM",
    "FILM_STARS",
    "GP_HYPERPARAMETERS",
    "HALF_STARS",
    "INTERVIEW",
    "ITEM_TEXT_TOKENS",
    "NO",
    "PROMPT_VERSION",
    "RENAMED_SIGNALS",
    "SIGNALS",
    "WHOLE_STARS",
    "WINDOW",
    "YES",
    "ContextKind",
    "Domain",
    "Form",
    "GPHyperparameters",
    "Item",
    "PromptSettings",
    "RatingScale",
    "RatingWords",
    "Renderer",
    "SignalKind",
    "capitalized",
    "plain_text",
]
