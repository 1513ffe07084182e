"""The command ``anyfast``.

Exit codes: 0 ok; 1 some rows, or the one request, failed; 2 wrong usage or input, nothing was sent; 3 stopped early by
something that is no fault of the input (key, quota, model, network, disk), the same command goes on; 130 and 143
interrupted, the same command goes on; 141 the reader of the output went away.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

_INTERRUPTED = (130, 143)
INSTALL = "pip install 'anyfast-async[cli]'"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the arguments *argv*, else those of the process; return the exit code."""
    if any(find_spec(name) is None for name in ("click", "rich")):
        sys.stderr.write(f"the anyfast command needs two more packages: {INSTALL}\n")
        return 2
    from anyfast_async.cli.app import run  # noqa: PLC0415 - works without click up to here

    if argv is not None:
        return run(argv)
    code = run(sys.argv[1:])
    if code in _INTERRUPTED:
        from anyfast_async.cli.signals import deaf  # noqa: PLC0415 - as above

        deaf()  # a second Ctrl-C while the process ends does not change its exit code
    return code
