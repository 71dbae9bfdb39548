"""Check prompt lengths: the same as ``reeltune lengths --histogram``."""

import sys

from reeltune.cli import main

if __name__ == "__main__":
    main(["lengths", "--histogram", *sys.argv[1:]])
