"""``import reeltune`` loads no dependency, and offers every public name."""

from __future__ import annotations

import subprocess
import sys

import pytest

import reeltune

HEAVY = ("torch", "polars", "pandas", "transformers", "pyarrow", "numpy", "pydantic")


def test_importing_the_package_loads_no_dependency():
    code = f"import sys, reeltune; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists():
    assert set(reeltune.__all__) <= set(dir(reeltune))
    assert all(getattr(reeltune, name).__name__ == name for name in reeltune.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="trian"):
        _ = reeltune.trian
