"""The page's template: every text escaped, nothing that is missing passed over in silence."""

from __future__ import annotations

import unicodedata
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reeltune.report import numbers
from reeltune.report.examples import rating_width

_PAGE: Final = "report.html.j2"
_STYLE: Final = "report.css"
_PACKAGE: Final = "reeltune.report"
_FOLDER: Final = "templates"


def fill(**content: Any) -> str:
    """Return the page with its content; the style sheet becomes part of it."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE, _FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        name: getattr(numbers, name)
        for name in ("between", "count", "number", "percent", "signed", "signed_between")
    }
    environment.filters["rating_width"] = rating_width
    style = files(_PACKAGE).joinpath(_FOLDER, _STYLE).read_text(encoding="utf-8")
    # The style sheet is the package's own; escaping would break its selectors.
    return environment.get_template(_PAGE).render(style=Markup(style), **content)


def _shown(value: Any) -> Any:
    """Return what is printed for a value: text without control characters, and never None."""
    if value is None:
        raise TypeError("a value that is not defined has to be shown as such, with the reason")
    if isinstance(value, str) and not isinstance(value, Markup):
        return "".join(
            c
            if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs")
            else "\N{REPLACEMENT CHARACTER}"
            for c in value
        )
    return value
