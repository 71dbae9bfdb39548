"""The charts: matplotlib draws them, as SVG whose colours the page decides."""
