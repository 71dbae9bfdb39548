"""Fine-tune the adapter: the same as ``reeltune train``."""

import sys

from reeltune.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
