"""Check prompt lengths: the same as ``reeltune lengths``."""

import sys

from reeltune.cli import main

if __name__ == "__main__":
    main(["lengths", *sys.argv[1:]])
