"""Running ``reeltune lengths`` in a test."""

from __future__ import annotations

import pytest

from reeltune.cli import main

SPLITS = ("train", "validation", "test")


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Run ``reeltune lengths``: exit code, output and error output."""
    with pytest.raises(SystemExit) as left:
        main(["lengths", *args])
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.out, shown.err
