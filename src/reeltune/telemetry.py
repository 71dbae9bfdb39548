"""Telemetry of libraries, and downloads that they start by themselves: off by default."""

from __future__ import annotations

import os
import sys
from typing import Final

_OFF: Final = {
    "HF_HUB_DISABLE_TELEMETRY": "1",  # TRL reports every training through huggingface_hub
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "RAY_USAGE_STATS_ENABLED": "0",
    "USE_HUB_KERNELS": "0",  # transformers would download and run compiled kernels
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # it would ask a service of the hub to convert a model
}


def switch_off_telemetry() -> None:
    """Set variables of the environment that are not set; imports nothing.

    Libraries read them when they are imported, so this is called before.
    """
    for name, value in _OFF.items():
        os.environ.setdefault(name, value)
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None and os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1":
        constants.__dict__["HF_HUB_DISABLE_TELEMETRY"] = True
