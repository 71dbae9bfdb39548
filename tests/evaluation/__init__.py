"""Tests of reeltune.evaluation."""
