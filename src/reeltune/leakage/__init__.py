"""Leakage checks: could held-out ratings have been known to what is evaluated on them?"""
