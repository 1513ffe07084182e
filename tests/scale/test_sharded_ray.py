"""The recipe for Ray: ``nox -s ray``."""

from __future__ import annotations

import concurrent.futures
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anyfast_async.scale import run_sharded

from .conftest import SettingsOf, WriteRows  # type: ignore[import-not-found,unused-ignore]

pytestmark = [
    pytest.mark.skipif(os.environ.get("ANYFAST_RAY") != "1", reason="nox -s ray"),
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),
]


def test_recipe(write_rows: WriteRows, settings_of: SettingsOf, tmp_path: Path) -> None:
    """Three lines make an executor of Ray; a run over it is as any other."""
    ray = pytest.importorskip("ray")

    class RayExecutor(concurrent.futures.Executor):
        def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            return ray.remote(max_retries=3)(call).remote(*args, **kwargs).future()

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        source, output = write_rows(100), tmp_path / "out.jsonl"
        result = run_sharded(source, output, settings_of(lease=30.0), executor=RayExecutor(), slots=2)
    finally:
        ray.shutdown()
    assert result.exit_code == 0
    assert {json.loads(line)["custom_id"] for line in output.read_text().splitlines()} == {f"r{n}" for n in range(100)}
