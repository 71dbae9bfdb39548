"""Training: tokenized rows, TRL's trainer with our evaluation, and the run folder it writes."""
