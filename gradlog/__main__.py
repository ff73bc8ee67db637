"""`python -m gradlog` is the command `gradlog`."""

import sys

from gradlog.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
