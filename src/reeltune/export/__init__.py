"""Merged weights: base and adapter as one ordinary model, measured against the adapter."""
