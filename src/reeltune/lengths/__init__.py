"""How long prompts are, before anything is trained on them."""
