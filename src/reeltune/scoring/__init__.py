"""Predict P(Yes): the scorer, queries and their predictions."""
