"""The AnyFast gateway on loopback: to test programs that talk to it, without a key, a bill or a network.

>>> from anyfast_async.simulator import Simulator
>>> with Simulator.in_thread() as sim:
...     sim.base_url.endswith("/v1")
True

It is written from the gateway's public behaviour and shares no code with the client of this package, so that
the two cannot share a misunderstanding.
"""

from anyfast_async.simulator.http.recording import Headers, RecordedRequest
from anyfast_async.simulator.model.latency import Latency
from anyfast_async.simulator.quirks.catalogue import QUIRKS, Quirk
from anyfast_async.simulator.simulator import MODELS, Simulator, SimulatorOptions

__all__ = ["MODELS", "QUIRKS", "Headers", "Latency", "Quirk", "RecordedRequest", "Simulator", "SimulatorOptions"]
