"""Writes ``anyfast-async.cdx.json``, the bill of materials that the wheel carries (PEP 770): ``python .ci/sbom.py``.

It names the package and what it needs at run time, with the versions that it takes; without times or random numbers, so
that two builds are one. Needs ``cyclonedx-python-lib[json-validation]``; ``nox -s lock`` runs it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).parent.parent
FILE = ROOT / "anyfast-async.cdx.json"


def bill() -> Bom:
    """Return what ``pyproject.toml`` says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    bom = Bom()
    bom.metadata.timestamp = None  # type: ignore[assignment]  # it would make each build another one
    bom.metadata.tools.components.clear()
    root = Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=name,
        purl=PackageURL("pypi", name=name, version=version),
        description=project["description"],
        licenses=[LicenseExpression(project["license"], acknowledgement=LicenseAcknowledgement.DECLARED)],
    )
    bom.metadata.component = root
    needed = []
    for requirement in project["dependencies"]:
        found = re.fullmatch(r"([A-Za-z0-9._-]+)(.*)", requirement)
        if found is None:
            raise SystemExit(requirement)
        component = Component(
            name=found[1],
            type=ComponentType.LIBRARY,
            bom_ref=found[1],
            purl=PackageURL("pypi", name=found[1]),
            properties=[Property(name="anyfast-async:versions", value=found[2])],
        )
        bom.components.add(component)
        needed.append(component)
    bom.register_dependency(root, needed)
    return bom


def main() -> None:
    """Write it, or with ``--check FILE`` read one."""
    if sys.argv[1:2] == ["--check"]:
        text = Path(sys.argv[2]).read_text(encoding="utf-8")
    else:
        bom = bill()
        bom.serial_number = None  # type: ignore[assignment]  # as the time
        text = JsonV1Dot6(bom).output_as_string(indent=1) + "\n"
        FILE.write_text(text, encoding="utf-8")
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(str(problem))


if __name__ == "__main__":
    main()
