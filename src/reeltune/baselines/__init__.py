"""Classical baselines: simpler methods on the same rows."""
