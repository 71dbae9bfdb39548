"""Adapters and merged weights give reeltune's verdicts in other programs."""
