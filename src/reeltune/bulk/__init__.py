"""Predictions for tables of users and items, in shards that survive a kill."""
