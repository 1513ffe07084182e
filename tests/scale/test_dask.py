"""Shards on a real Dask scheduler with real workers, and its habits: ``nox -s dask``."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.skipif(os.environ.get("ANYFAST_DASK") != "1", reason="nox -s dask")
