"""Tests of reeltune; the folders mirror ``src/reeltune``."""
