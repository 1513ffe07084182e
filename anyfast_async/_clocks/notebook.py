"""A notebook's kernel: its loop is not woken by the button "Stop", and it shows what is given to it as it is told."""

from __future__ import annotations

import sys
from typing import Final

TICK: Final = 0.05
"""Seconds between two turns of the loop while something is on its way in a notebook. There "Stop" cancels the task of
the cell from a signal's handler, which leaves the loop asleep until something else wakes it (ipykernel 7.4)."""


def in_notebook() -> bool:
    """Return whether IPython's kernel runs in this process; nothing is loaded to find out."""
    shell = sys.modules["IPython"].get_ipython() if {"ipykernel", "IPython"} <= sys.modules.keys() else None
    return hasattr(shell, "kernel")
