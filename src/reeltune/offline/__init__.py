"""Data and a model for machines without GroupLens or the hub: PyPI mirrors, synthetic ratings."""
