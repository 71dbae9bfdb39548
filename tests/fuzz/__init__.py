"""A fuzz campaign: inputs damaged by generators, and four outcomes, two of which must not occur.

``python -m tests.fuzz`` runs it; docs/experiments/fuzzing.md describes it.
"""
