"""Fetch MovieLens editions from GroupLens or a local copy, verified before they are used."""
