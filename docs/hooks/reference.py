"""The page of all keys of the configuration: ``make reference`` writes it."""

from __future__ import annotations

from reeltune.config import Config
from reeltune.config.reference import default_of, section_of, section_text
from reeltune.config.section import KeyHelp

_INTRODUCTION = """\
# Every key of the configuration

<!-- Written by `make reference` from the descriptions in src/reeltune/config. Edit them there. -->

`reeltune config explain KEY` prints one entry. How configurations are read, what to do when memory
does not suffice and which keys may change with `--resume`: [TRAINING.md](TRAINING.md).
"""


def reference_page() -> str:
    """Return docs/TRAINING_PARAMETERS.md."""
    parts = [_INTRODUCTION]
    for section in Config.model_fields:
        rows = [
            f"| `{section}.{name}` | `{default_of(f'{section}.{name}')}` | {text.meaning} "
            f"| {_sentence(text.advice)} | {_sentence(text.cost)} |"
            for name, field in section_of(section).model_fields.items()
            for text in [KeyHelp.of(field)]
        ]
        parts += [
            f"\n## {section}\n\n{section_text(section)}\n",
            "| Key | Default | Meaning | Change it when | Memory and speed |",
            "|---|---|---|---|---|",
            *rows,
        ]
    return "\n".join(parts) + "\n"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


if __name__ == "__main__":
    print(reference_page(), end="")
