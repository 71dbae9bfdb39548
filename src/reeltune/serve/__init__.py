"""The HTTP service: predictions and recommendations as JSON, and a page to try them."""
