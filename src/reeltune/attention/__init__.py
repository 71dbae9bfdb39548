"""Packed rows, and attention that keeps the branches of shared histories apart."""
