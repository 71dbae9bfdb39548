"""Prompts as token ids: pieces, sequences that share histories, and rows to train or score on."""
