"""Merged weights give the adapter's predictions in CTranslate2, in a script without reeltune."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.elsewhere.conftest import Case
from tests.elsewhere.snippets import tell

pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")

SCRIPT = "elsewhere_ctranslate2.py"


@pytest.fixture(scope="module")
def exact(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return case.export(tmp_path_factory.mktemp("exact") / "merged", "float32")


@pytest.mark.slow
def test_the_script_gives_the_adapters_predictions(case: Case, exact: Path, tmp_path, capsys):
    converted = tmp_path / "converted"
    folders = [str(exact), str(converted)]
    told = [tell(SCRIPT, [*folders, *items], capsys) for items in case.told]
    np.testing.assert_allclose(told, case.p_yes, rtol=0, atol=1e-5)
    assert np.abs(case.untuned - case.p_yes).max() > 1e-3
    assert np.ptp(case.p_yes) > 1e-3


@pytest.mark.slow
def test_a_conversion_is_reused(case: Case, exact: Path, tmp_path, capsys):
    folders = [str(exact), str(tmp_path / "converted")]
    first = tell(SCRIPT, [*folders, *case.told[0]], capsys)
    weights = tmp_path / "converted" / "model.bin"
    made = weights.stat().st_mtime_ns
    assert tell(SCRIPT, [*folders, *case.told[0]], capsys) == first
    assert weights.stat().st_mtime_ns == made


# The weights are rounded; what is computed with them is not.
@pytest.mark.slow
@pytest.mark.parametrize("case", [("qwen3", "interview")], indirect=True, ids=["qwen3-interview"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 0.002), ("bfloat16", 0.02)])
def test_rounded_weights_drift_as_their_export_does(case, dtype, tolerance, tmp_path, capsys):
    merged = case.export(tmp_path / "merged", dtype)
    folders = [str(merged), str(tmp_path / "converted")]
    told = [tell(SCRIPT, [*folders, *items], capsys) for items in case.told]
    np.testing.assert_allclose(told, case.p_yes, rtol=0, atol=tolerance)
