"""Tests of reeltune.config."""
