"""What is installed and built is what pyproject.toml says: the lock, and the bill of materials in the wheel."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parent.parent
PYPROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)(?:[^\n]*)((?:\\\n\s+--hash=\S+ ?)+)", re.MULTILINE)


def wanted() -> list[Requirement]:
    """Everything that the project and its tests ask for; what it asks of itself excepted."""
    project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    asked = [*project["dependencies"], *extras, *groups["test"], *groups["lint"], *groups["types"]]
    return [found for one in asked if (found := Requirement(one)).name != project["name"]]


def test_the_lock_is_what_is_wanted() -> None:
    """Each requirement is locked, within its bounds, and every locked package by hashes."""
    text = (ROOT / "requirements" / "locked.txt").read_text(encoding="utf-8")
    locked: dict[str, list[str]] = {}
    for name, version, hashes in LOCKED.findall(text):
        assert "--hash=sha256:" in hashes
        locked.setdefault(canonicalize_name(name), []).append(version)
    assert sum(map(len, locked.values())) == len(re.findall(r"^\S+==", text, re.MULTILINE))
    for requirement in wanted():
        versions = locked.get(canonicalize_name(requirement.name), [])
        assert any(requirement.specifier.contains(one) for one in versions), requirement


def test_the_bill_of_materials() -> None:
    """It names the package with its version, and what it needs with the versions that it takes."""
    bill = json.loads((ROOT / "anyfast-async.cdx.json").read_text(encoding="utf-8"))
    project = PYPROJECT["project"]
    root = bill["metadata"]["component"]
    needed = {one["name"] + one["properties"][0]["value"] for one in bill["components"]}
    assert (root["name"], root["version"]) == (project["name"], project["version"])
    assert needed == set(project["dependencies"])
    assert not {"serialNumber"} & bill.keys()  # two builds are one
    assert "timestamp" not in bill["metadata"]
