"""A key that workers are handed past the tasks."""

from __future__ import annotations

import pickle
import threading

import pytest

from anyfast_async import ConfigurationError, Limits
from anyfast_async.scale import BatchSettings
from anyfast_async.scale.handed_key import HandedKey, forget, handed_key

KEY = "sk-key-of-the-workers-0123456789"


def test_it_comes_and_goes() -> None:
    """A worker that needs it before it is there waits for it; settings hold its name alone; forgotten, it is gone."""
    key = HandedKey(KEY)
    settings = BatchSettings(model="m", base_url="http://127.0.0.1:9/v1", handed_key=key.name)
    assert KEY not in repr(key) + repr(settings)
    assert KEY.encode() not in pickle.dumps(settings)
    threading.Timer(0.05, pickle.loads(pickle.dumps(key)).keep).start()  # noqa: S301 - as on another machine
    assert handed_key(key.name) == KEY
    settings.client(Limits(), None)
    forget(key.name)
    with pytest.raises(ConfigurationError, match="was not handed the key"):
        handed_key(key.name, patience=0.01)
