"""Fine-tune a small language model to predict whether a user will like a film.

The Python API: :func:`prepare`, :func:`train`, :func:`tune`, :func:`load` and :func:`evaluate`.
Importing the package loads none of its dependencies; each name loads them when it is first used.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from reeltune.telemetry import switch_off_telemetry

if TYPE_CHECKING:
    from reeltune.api.data import prepare
    from reeltune.api.evaluation import Evaluation, evaluate
    from reeltune.api.recommender import Recommender, load
    from reeltune.api.runs import Run, train, tune
    from reeltune.config import Config
    from reeltune.recommend.candidates import Filters

__version__ = "0.1.0"

__all__ = [
    "Config",
    "Evaluation",
    "Filters",
    "Recommender",
    "Run",
    "evaluate",
    "load",
    "prepare",
    "train",
    "tune",
]

_MODULES = {
    "Config": "reeltune.config",
    "Evaluation": "reeltune.api.evaluation",
    "Filters": "reeltune.recommend.candidates",
    "Recommender": "reeltune.api.recommender",
    "Run": "reeltune.api.runs",
    "evaluate": "reeltune.api.evaluation",
    "load": "reeltune.api.recommender",
    "prepare": "reeltune.api.data",
    "train": "reeltune.api.runs",
    "tune": "reeltune.api.runs",
}

# On CPUs with AVX512-BF16, importing bitsandbytes 0.50 suggests a package that would make other
# libraries ask the hub at run time. Nothing here can use what it offers.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        switch_off_telemetry()
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
