"""An adapter gives reeltune's predictions in plain PEFT, in a script without reeltune."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.elsewhere.conftest import Case
from tests.elsewhere.snippets import EXAMPLES, tell

SCRIPT = "elsewhere_peft.py"

TOLERANCE = 1e-5
"""What the page states for float32: only the order of sums differs."""


def test_the_script_gives_the_adapters_predictions(case: Case, capsys):
    told = [tell(SCRIPT, [str(case.run), *items], capsys) for items in case.told]
    np.testing.assert_allclose(told, case.p_yes, rtol=0, atol=TOLERANCE)
    # Otherwise neither the adapter nor the films would have to be read.
    assert np.abs(case.untuned - case.p_yes).max() > 100 * TOLERANCE
    assert np.ptp(case.p_yes) > 100 * TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("case", [("llama", "interview")], indirect=True, ids=["llama-interview"])
def test_it_runs_from_any_folder_as_a_command(case: Case, tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / SCRIPT), str(case.run), *case.told[0]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = float(done.stdout.removeprefix("P(Yes) = "))
    assert printed == pytest.approx(case.p_yes[0], abs=TOLERANCE)
