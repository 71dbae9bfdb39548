"""The run folder: what training leaves and everything later reads."""
