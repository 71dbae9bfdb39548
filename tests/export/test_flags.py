"""The command, the options and the docs page agree on defaults."""

from __future__ import annotations

import inspect

from reeltune.cli.export import export
from reeltune.export.export import ExportOptions
from tests.docs.pages import ROOT, table

PAGE = ROOT / "docs" / "EXPORT.md"


def test_flags_left_out_are_the_options_own_defaults():
    defaults = {name: value.default for name, value in inspect.signature(export).parameters.items()}
    options = ExportOptions()
    for name in ("rows", "split", "dtype", "onto", "allow_drift", "overwrite"):
        assert defaults[name] == getattr(options, name), name
    assert (defaults["max_auc_drift"], defaults["max_p_drift"]) == (
        options.bounds.auc,
        options.bounds.p_yes,
    )


def test_the_page_names_the_bounds():
    bounds = {row[0].strip("`"): float(row[1]) for row in table(PAGE, "Flag")}
    own = ExportOptions().bounds
    assert bounds == {"--max-auc-drift": own.auc, "--max-p-drift": own.p_yes}
