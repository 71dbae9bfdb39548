"""Predictions for tables of users and films, in shards that survive a kill."""
