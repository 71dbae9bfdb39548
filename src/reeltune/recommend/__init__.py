"""Recommend items of a catalogue: filters, candidates, ranking, base comparison, explanations."""
