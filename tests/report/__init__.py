"""The report: what it says, and what it looks like in a browser."""
