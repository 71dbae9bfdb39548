"""The run folder: what training writes and later commands read."""
