"""Tests of reeltune.lengths."""
