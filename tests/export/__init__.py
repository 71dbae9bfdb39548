"""Exports are the adapter they were made from, or they are not kept."""
