"""Loading models, tokenizers and adapters: every choice made in one place, with its reason."""
