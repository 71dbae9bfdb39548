"""Adapters and merged weights give reeltune's predictions in other programs."""
