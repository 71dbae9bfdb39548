"""Tests of reeltune.prompts."""
