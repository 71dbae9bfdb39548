"""The web service: verdicts and recommendations over HTTP, and a page to try them on."""
