"""The one scorer: P(Yes) from the answer position, computed nowhere else."""
