"""The words of the prompt and their tokens: the one renderer and the pieces it is made of."""
