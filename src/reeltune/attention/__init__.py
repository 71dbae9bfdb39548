"""Exact sharing inside the model: packed sequences, and attention that keeps branches apart."""
