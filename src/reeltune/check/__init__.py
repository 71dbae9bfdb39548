"""Guards against leaks: that nothing a model is judged on could have been known to it."""
