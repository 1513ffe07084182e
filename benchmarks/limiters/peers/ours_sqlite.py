"""This package, the quota shared through a file."""

from __future__ import annotations

from peers import ours

from anyfast_async._limits import store_file

PACKAGES = ("anyfast-async",)
store_file.UPTIME = "/nowhere"  # type: ignore[misc] # the kernel's clock is as fast as the world's


class Adapter(ours.Adapter):
    def store(self) -> str | None:
        return f"sqlite://{self.terms.folder}/quota.db"
