"""The environment of each peer, made when it is first needed and kept."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import stub
from plan import HERE, Peer


def python_of(peer: Peer) -> Path:
    """Return the interpreter that runs a peer: this one, or that of the peer's own environment."""
    if not peer.needs:
        return Path(sys.executable)
    requirements = HERE / "requirements" / f"{peer.needs}.txt"
    stamp = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = stub.cache() / f"venv-{peer.needs}-{stamp}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"making the environment of {peer.needs}", file=sys.stderr, flush=True)
        install = [str(python), "-m", "pip", "install", "-q", "-r", str(requirements)]
        for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], install):
            subprocess.run(command, check=True)  # noqa: S603 - our own requirements
        (folder / "ready").touch()
    return python
