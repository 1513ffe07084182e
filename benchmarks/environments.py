"""The environment of each peer, made when it is first needed and kept."""

from __future__ import annotations

import hashlib
import shutil
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
    base = shutil.which(f"python{peer.python}") if peer.python else sys.executable
    if base is None:
        message = f"{peer.name} needs python{peer.python}, which is not on the path"
        raise SystemExit(message)
    stamp = hashlib.sha256(requirements.read_bytes() + (peer.python or sys.version).encode()).hexdigest()[:12]
    folder = stub.cache() / f"venv-{peer.needs}-{stamp}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"making the environment of {peer.needs}", file=sys.stderr, flush=True)
        install = [str(python), "-m", "pip", "install", "-q", "-r", str(requirements)]
        for command in ([base, "-m", "venv", "--clear", str(folder)], install):
            subprocess.run(command, check=True)  # noqa: S603 - our own requirements
        (folder / "ready").touch()
    return python
