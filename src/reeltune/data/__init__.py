"""Ratings in, a prepared folder out: readers, checks, timelines, splits, export."""
