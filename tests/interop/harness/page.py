"""Write the tables of docs/explanation/real-servers.md: ``python page.py CELLS MISSING``, both JSON that a run left.

What stands around the tables is written by hand; they stand between marks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from cases import CASES
from engines import ENGINES
from gateways import GATEWAYS
from proxies import PROXIES
from servers import SERVERS

ALL = [peer.name for peer in (*PROXIES, *SERVERS, *GATEWAYS, *ENGINES)]
PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "real-servers.md"
MARKS = {name: (f"<!-- {name} -->", f"<!-- end of {name} -->") for name in ("versions", "cells")}
KINDS = {
    "proxy": "Proxies",
    "server": "Servers of applications",
    "gateway": "Gateways for models",
    "engine": "Servers that answer themselves",
}


def latest(lines: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The last cell of each peer and case, in the order of the tables."""
    found = {(one["peer"], one["case"]): one for one in lines}
    return {(peer, case): found[peer, case] for peer in ALL for case in CASES if (peer, case) in found}


def is_wrong(cell: dict[str, Any]) -> bool:
    """Whether a client could know better; or knows what it is said not to."""
    return bool(cell["wrong"]) != bool(cell["cannot"])


def versions(cells: dict[tuple[str, str], dict[str, Any]], missing: dict[str, str]) -> str:
    """Who was run, and who was not."""
    rows = ["| kind | peer and version |", "|---|---|"]
    for kind, name in KINDS.items():
        peers = dict.fromkeys(f"{one['peer']} {one['version']}" for one in cells.values() if one["kind"] == kind)
        rows.append(f"| {name} | {'; '.join(peers) or 'none in this run'} |")
    rows += [f"| not run | {name}: {why} |" for name, why in missing.items() if why != "not asked for"]
    return "\n".join(rows)


def table(case: str, cells: dict[tuple[str, str], dict[str, Any]]) -> str:
    """One case: peers that do the same, and of which the same is told, share a row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for (peer, of), one in cells.items():
        if of == case:
            told = one["told"] + (f" **It cannot tell: {one['cannot']}**" if one["cannot"] else "")
            rows.setdefault((one["does"], told), []).append(peer)
    ordered = sorted(rows.items(), key=lambda row: -len(row[1]))
    lines = [
        f"### {case[0].upper()}{case[1:]}",
        "",
        "| peers | what they do | what the client tells |",
        "|---|---|---|",
    ]
    return "\n".join([*lines, *(f"| {'; '.join(peers)} | {does} | {told} |" for (does, told), peers in ordered)])


def written(page: str, parts: dict[str, str]) -> str:
    """The page with other tables."""
    for name, (start, end) in MARKS.items():
        before, _, rest = page.partition(start)
        _, _, after = rest.partition(end)
        page = f"{before}{start}\n\n{parts[name]}\n\n{end}{after}"
    return page


def main(cells_file: Path, missing_file: Path) -> None:
    cells = latest([json.loads(line) for line in cells_file.read_text().splitlines()])
    missing = json.loads(missing_file.read_text()) if missing_file.exists() else {}
    parts = {"versions": versions(cells, missing), "cells": "\n\n".join(table(case, cells) for case in CASES)}
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), parts), encoding="utf-8")
    if wrong := [f"{peer}, {case}: {one['wrong']}" for (peer, case), one in cells.items() if is_wrong(one)]:
        sys.exit("\n".join(["wrong:", *wrong]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
