"""The causal language model inside a loaded one."""

from reeltune.models.causal import causal_of

__all__ = ["causal_of"]
