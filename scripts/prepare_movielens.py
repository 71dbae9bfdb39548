"""Prepare MovieLens ratings for training: the same as ``reeltune prepare``."""

import sys

from reeltune.cli import main

if __name__ == "__main__":
    main(["prepare", *sys.argv[1:]])
