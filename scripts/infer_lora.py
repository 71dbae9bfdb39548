"""Compare base and tuned model, each alone: the same as ``reeltune compare``."""

import sys

from reeltune.cli import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
