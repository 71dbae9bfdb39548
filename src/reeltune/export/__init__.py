"""Merged weights: base and adapter as one ordinary model, and how far it drifts from them."""
