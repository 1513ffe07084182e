"""``python -m anyfast_async``: the command ``anyfast``."""

import sys

from anyfast_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
