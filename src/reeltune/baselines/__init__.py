"""Classical baselines: what simpler methods make of the same rows."""
