"""A loaded model with its data, and questions put to it."""
