"""Runs the command `gradlog` as `python -m gradlog`."""

import sys

from gradlog.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
