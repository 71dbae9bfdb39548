"""Prepared data: ``prepare`` turns ratings into a prepared folder, everything else reads it."""
