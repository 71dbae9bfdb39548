"""Metrics, evaluation on held-out rows, and base against tuned."""
