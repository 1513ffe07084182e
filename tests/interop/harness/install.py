"""Install the peers: ``python install.py FOLDER [KIND ...]``. What does not install is a line of FOLDER/missing.json.

Debian's packages by apt (as root, where they are missing), the others each into a folder of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from engines import ENGINES  # noqa: E402
from gateways import GATEWAYS  # noqa: E402
from peers import Peer, version_of  # noqa: E402
from proxies import PROXIES  # noqa: E402
from servers import SERVERS  # noqa: E402

PATIENCE = 1800
ALL = (*PROXIES, *SERVERS, *GATEWAYS, *ENGINES)


def run(*command: str) -> None:
    """Run a command; what it says is shown if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        message = f"{command[0]} ended with {done.returncode}: {' '.join(said[-2:])[:300]}"
        raise RuntimeError(message)


def by_apt(peers: list[Peer]) -> dict[str, str]:
    """Install what is missing of Debian's packages; return why peers are missing."""
    wanted = sorted({package for peer in peers for package in peer.apt})
    if shutil.which("dpkg-query") is None:
        return {peer.name: "no Debian" for peer in peers if peer.apt}
    here = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n"], capture_output=True, text=True, check=True
    ).stdout
    missing = [name for name in wanted if f"ii {name}\n" not in here]
    if not missing:
        return {}
    if os.geteuid() != 0:
        return {
            peer.name: f"not root: apt-get install {' '.join(peer.apt)}" for peer in peers if {*peer.apt} & {*missing}
        }
    run("apt-get", "update", "-qq")
    failed: dict[str, str] = {}
    for package in missing:
        try:
            run(
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                package,
            )
        except RuntimeError as error:
            failed |= {peer.name: str(error) for peer in peers if package in peer.apt}
    return failed


def into_folder(peer: Peer, folder: Path) -> None:
    """Install a peer by pip into a venv, or by npm, below *folder*; one that is there is left alone."""
    mine = folder / (peer.folder or peer.name)
    done = mine / "installed"
    wanted = "\n".join((*peer.pip, *peer.npm))
    if not wanted or (done.exists() and done.read_text() == wanted):
        return
    if peer.npm:
        mine.mkdir(parents=True, exist_ok=True)
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(mine), *peer.npm)
    else:
        run(sys.executable, "-m", "venv", str(mine))
        # Nothing is built here: a build takes what the machine has, and longer than all the rest.
        run(str(mine / "bin" / "python"), "-m", "pip", "install", "-q", "--only-binary", ":all:", *peer.pip)
    done.write_text(wanted)


def main(folder: Path, kinds: set[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    peers = [peer for peer in ALL if not kinds or peer.kind in kinds]
    missing = by_apt(peers)
    missing |= {peer.name: "not asked for" for peer in ALL if peer not in peers}
    for peer in peers:
        try:
            into_folder(peer, folder)
            told = missing.get(peer.name) or version_of(peer, folder)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            told = missing[peer.name] = str(error)
        print(f"{peer.name}: {told}", flush=True)  # noqa: T201
    (folder / "missing.json").write_text(json.dumps(missing, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), set(sys.argv[2:]))
