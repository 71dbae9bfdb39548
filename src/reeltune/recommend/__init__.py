"""Recommend items of a catalogue: filters, candidates, ranking and explanations."""
