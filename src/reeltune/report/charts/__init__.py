"""The charts of the report, drawn by matplotlib as SVG in the colours of the page."""
