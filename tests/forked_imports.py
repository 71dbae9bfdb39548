"""Slow imports of a fork server: made once, and never searched for garbage by its children."""

import importlib

from reeltune.cli.options import importing

with importing():
    for name in (
        "reeltune.bulk.score",
        "reeltune.bulk.tasks",
        "reeltune.report.save_evaluation",
        "reeltune.serve.server",
        "reeltune.training.train",
        "transformers.models.llama.modeling_llama",
        "transformers.models.qwen3.modeling_qwen3",
    ):
        importlib.import_module(name)
