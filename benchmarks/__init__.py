"""Measurements of speed, memory and quality, with their results."""
