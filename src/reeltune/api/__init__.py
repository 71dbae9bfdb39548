"""The Python API, which ``import reeltune`` offers under the package's own name."""
