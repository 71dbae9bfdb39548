"""Training: cached rows, TRL's trainer with our evaluation, and the run folder it leaves."""
