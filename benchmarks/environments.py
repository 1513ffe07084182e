"""The environment of each peer, made when it is first needed and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import stub
from plan import HERE, Peer


def interpreter(version: str) -> str | None:
    """Find a Python of a version, on the path or where pyenv keeps its own; None if there is none that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    for found in (shutil.which(f"python{version}"), *map(str, kept)):
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:  # noqa: S603
            return found  # pyenv has a python3.x on the path for those that it would not run, too
    return None


def python_of(peer: Peer) -> Path:
    """Return the interpreter that runs a peer: this one, or that of the peer's own environment."""
    if not peer.needs:
        return Path(sys.executable)
    requirements = HERE / "requirements" / f"{peer.needs}.txt"
    stamp = hashlib.sha256(requirements.read_bytes() + (peer.python or sys.version).encode()).hexdigest()[:12]
    folder = stub.cache() / f"venv-{peer.needs}-{stamp}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        base = interpreter(peer.python) if peer.python else sys.executable
        if base is None:
            message = f"{peer.name} needs Python {peer.python}, and none was found"
            raise SystemExit(message)
        print(f"making the environment of {peer.needs}", file=sys.stderr, flush=True)
        install = [str(python), "-m", "pip", "install", "-q", "-r", str(requirements)]
        for command in ([base, "-m", "venv", "--clear", str(folder)], install):
            subprocess.run(command, check=True)  # noqa: S603 - our own requirements
        (folder / "ready").touch()
    return python
