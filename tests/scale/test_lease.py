"""Who works on a shard."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from anyfast_async.errors import ConfigurationError
from anyfast_async.scale import lease as module
from anyfast_async.scale.lease import Beat, Lease, LeaseLostError, latest, take


def taken(folder: Path, expires: float = 30.0) -> Lease:
    found = take(folder, expires=expires)
    assert isinstance(found, Lease)
    return found


def test_one_at_a_time(tmp_path: Path) -> None:
    """Of many who want a lease one has it at a time, and each has it once."""
    inside, most, numbers = 0, 0, list[int]()
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with taken(tmp_path, 1.0) as lease:
            with guard:
                inside += 1
                most = max(most, inside)
                numbers.append(lease.number)
            time.sleep(0.005)
            with guard:
                inside -= 1
            lease.let_go({"status": "complete"})

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]


def test_a_dead_process_is_not_waited_for(tmp_path: Path) -> None:
    """On one machine the lock tells at once that a process is gone."""
    first = taken(tmp_path, 1000.0)
    os.close(first._lock)  # as the system does when a process ends
    first._lock = -1
    assert taken(tmp_path, 1000.0).number == 2


def test_elsewhere_only_time_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease of another machine is taken when its beat has stood still for as long as it lasts, and not before."""
    first = taken(tmp_path, 0.3)
    monkeypatch.setattr(module, "_machine", lambda: "another")
    began = time.monotonic()
    second = taken(tmp_path, 0.3)
    assert time.monotonic() - began >= 0.3
    with pytest.raises(LeaseLostError, match="not renewed"):
        first.check()
    second.check()


def test_a_beat_keeps_it(tmp_path: Path) -> None:
    """Who beats has it for as long as that goes on, and the beat tells how far it is."""
    with taken(tmp_path, 1.0) as lease:
        lease.begin(lambda: {"done": 7}, lambda: None)
        end = time.monotonic() + 1.2
        assert take(tmp_path, expires=1.0, is_stopped=lambda: time.monotonic() > end) is None
        lease.check()
        said = latest(tmp_path)
        assert said is not None
        assert said.said["done"] == 7


def test_what_stood_still_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped for longer than its lease finds that out before it sends, and stays silent."""
    now = 1000.0
    monkeypatch.setattr(module, "seconds", lambda: now)
    lease = taken(tmp_path, 30.0)
    now += 17.0
    lease.check()
    now += 2.0
    with pytest.raises(LeaseLostError):
        lease.check()
    lease.beat()  # in vain: whoever waits must not see it
    now = 1000.0
    with pytest.raises(LeaseLostError):
        lease.check()
    lease.let_go({"status": "complete"})
    last = latest(tmp_path)
    assert last is not None
    assert not last.is_over


def test_another_folder_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a share is away its mount point may be an empty folder that can be written: beats in it keep nothing."""
    now = 1000.0
    monkeypatch.setattr(module, "seconds", lambda: now)
    folder = tmp_path / "there"
    lease = taken(folder, 30.0)
    folder.rename(tmp_path / "away")
    folder.mkdir()
    for _ in range(10):
        now += 2.0
        lease.beat()
    with pytest.raises(LeaseLostError):
        lease.check()


def test_another_one_has_taken_it(tmp_path: Path) -> None:
    """A beat shows that somebody else has the lease."""
    lease = taken(tmp_path)
    (tmp_path / "lease-2").touch()
    lease.beat()
    with pytest.raises(LeaseLostError):
        lease.check()


def test_what_was_let_go_is_enough(tmp_path: Path) -> None:
    """Who only wants the result does not take the lease; others take it at once."""
    with taken(tmp_path, 1000.0) as lease:
        lease.let_go({"status": "complete"})
    found = take(tmp_path, expires=1000.0, is_enough=lambda beat: beat.said["over"] == {"status": "complete"})
    assert isinstance(found, Beat)
    assert taken(tmp_path, 1000.0).number == 2


def test_a_torn_beat_says_nothing(tmp_path: Path) -> None:
    """A beat that cannot be read is as good as none."""
    taken(tmp_path)
    (tmp_path / "beat-1").write_bytes(json.dumps({"over": {}}).encode()[:-3])
    last = latest(tmp_path)
    assert last is not None
    assert not last.is_over


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), True, "30"])
def test_how_long_it_lasts(tmp_path: Path, wrong: float) -> None:
    """A time that is none is an error that says what is allowed."""
    with pytest.raises(ConfigurationError, match="expires must be seconds above 0"):
        take(tmp_path, expires=wrong)
