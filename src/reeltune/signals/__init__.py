"""Collaborative signals: what is known about an event before it happens."""
