"""Evaluation: metrics with intervals over users, ablations, comparisons of scorers."""
