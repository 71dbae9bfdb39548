"""Fine-tune a small language model to predict whether a user will like a film."""

__version__ = "0.1.0"
