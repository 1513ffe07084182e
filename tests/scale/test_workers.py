"""Processes that work on shards."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import pytest

from anyfast_async import ConfigurationError
from anyfast_async.scale.workers import OnExecutor, Processes

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs POSIX signals")


IS_LOADED = "'anyfast_async._call.streamed' in __import__('sys').modules"


@pytest.mark.slow
def test_processes_are_replaced_and_ended() -> None:
    """They load what sending needs at the beginning; one that was lost is replaced; Ctrl-C is not for them; all end."""
    with Processes(1) as processes:
        processes.begin()
        processes.begin()
        first = processes.submit(os.getpid).result()
        assert processes.submit(eval, IS_LOADED).result()
        os.kill(first, signal.SIGINT)
        assert processes.submit(os.getpid).result() == first
        lost = processes.submit(signal.pause)
        while not lost.running():
            time.sleep(0.005)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(BrokenExecutor):
            lost.result()
        processes.heal()
        second = processes.submit(os.getpid).result()
        assert second != first
    for pid in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_as_many_as_the_executor_says() -> None:
    """How many shards are in work at once is known of the usual executors, and can be said."""
    with ThreadPoolExecutor(3) as threads:
        assert OnExecutor(threads).slots == 3
        assert OnExecutor(threads, 7).slots == 7
        with pytest.raises(ConfigurationError, match="workers"):
            OnExecutor(threads, 0)
    with pytest.raises(ConfigurationError, match="processes"):
        Processes(0)
