"""The command, the options and the page agree on what is taken where nothing is said."""

from __future__ import annotations

import inspect

from reeltune.cli.export import export
from reeltune.export.options import ENOUGH_ROWS, ExportOptions
from tests.docs.pages import ROOT, table, text_of

PAGE = ROOT / "docs" / "EXPORT.md"


def test_flags_left_out_are_the_options_own_defaults():
    told = {name: value.default for name, value in inspect.signature(export).parameters.items()}
    options = ExportOptions()
    for name in ("rows", "split", "dtype", "onto", "allow_drift", "overwrite"):
        assert told[name] == getattr(options, name), name
    assert (told["max_auc_drift"], told["max_p_drift"]) == (
        options.bounds.auc,
        options.bounds.p_yes,
    )


def test_the_page_names_the_bounds():
    bounds = {row[0].strip("`"): float(row[1]) for row in table(PAGE, "Flag")}
    own = ExportOptions().bounds
    assert bounds == {"--max-auc-drift": own.auc, "--max-p-drift": own.p_yes}
    assert f"With fewer than {ENOUGH_ROWS} rows" in text_of(PAGE)
