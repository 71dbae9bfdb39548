"""Load models, tokenizers, adapters and their calibration, with the reason for every choice."""
