"""Run the command line as ``python -m reeltune``."""

from reeltune.cli import main

if __name__ == "__main__":
    main()
