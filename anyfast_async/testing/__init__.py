"""For tests of programs that use this package: real exchanges on a cassette, played back without key, network or bill.

The pytest plugin has a fixture of it, ``anyfast_cassette``, and ``--anyfast-record``. What is made up instead of
recorded comes from :mod:`anyfast_async.simulator`.
"""

from anyfast_async.testing.cassette import Cassette

__all__ = ["Cassette"]
