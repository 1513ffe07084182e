"""Batches over many processes and machines.

::

    from concurrent.futures import ProcessPoolExecutor
    from anyfast_async.scale import BatchSettings, run_sharded

    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as executor:
        result = run_sharded("in.jsonl", "out.jsonl", BatchSettings(model="gemini-2.5-flash"), executor=executor)

``split`` cuts the input, ``plan`` has it looked at and keeps what is to be done, ``shard`` is a batch run under a
``lease``, ``sharded_run`` gives shards out, ``merge`` makes one output of them. Limits are divided by ``shares``.
"""

from anyfast_async.scale.lease import LeaseLostError
from anyfast_async.scale.one_shard import run_shard
from anyfast_async.scale.settings import BatchSettings
from anyfast_async.scale.shard_result import ShardResult
from anyfast_async.scale.sharded import ShardedResult, run_sharded
from anyfast_async.scale.split import UncutError
from anyfast_async.scale.workers import WorkersLostError

__all__ = [
    "BatchSettings",
    "LeaseLostError",
    "ShardResult",
    "ShardedResult",
    "UncutError",
    "WorkersLostError",
    "run_shard",
    "run_sharded",
]
