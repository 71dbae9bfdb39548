"""Mirrors on PyPI, the conversion of the small model, and synthetic ratings."""
