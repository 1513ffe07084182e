"""Sessions for those who work on the project: ``nox -l`` lists them, ``nox -s quick`` is the one for in between.

What they install stands in ``pyproject.toml``: the project's dependencies and the dependency groups.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
WORKERS = str(min(4, os.cpu_count() or 1))
BASE_PACKAGES = 14
"""A base install brings in no more packages than this."""

nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_external_run = True
nox.options.reuse_venv = "yes"


def group(*names: str) -> list[str]:
    """Return the requirements of dependency groups."""
    return list(nox.project.dependency_groups(PYPROJECT, *names))


def wheel(session: nox.Session) -> Path:
    """Build the wheel and return it."""
    folder = Path(session.create_tmp()) / "wheel"
    for old in folder.glob("*.whl"):
        old.unlink()
    session.run("python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


def install_wheel(session: nox.Session) -> None:
    """Install what users get, and the test group. pip leaves an equal version as it is, hence the second call."""
    built = wheel(session)
    session.install(str(built), *group("test"))
    session.install("--force-reinstall", "--no-deps", str(built))


def pytest(session: nox.Session, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Run pytest; ``-I`` keeps the checkout out of the path, so that the installed wheel is what is tested."""
    session.run("python", "-Im", "pytest", *arguments, *session.posargs, env=env)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test against the built wheel."""
    install_wheel(session)
    pytest(session, "-n", WORKERS)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types: mypy over everything, pyright over the package and what users write."""
    session.install("-e", ".[cli]", *group("test", "types"))
    session.run("mypy")
    session.run("pyright")


@nox.session
def quick(session: nox.Session) -> None:
    """Check lint, types and the fast tests on the checkout itself, within a minute."""
    session.install("-e", ".[cli]", *group("test", "lint", "types"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("pyright")
    session.run("pytest", "-q", "-n", WORKERS, "-m", "not slow and not reliability", *session.posargs)


@nox.session
def snapshot(session: nox.Session) -> None:
    """Write the list of the public surface anew (tests/data/public_api.txt)."""
    session.install("-e", ".[cli]", *group("test"))
    session.run("python", "tests/test_public_api.py")


@nox.session
def reliability(session: nox.Session) -> None:
    """Run the tests marked reliability with their full counts (ANYFAST_LONG=1)."""
    install_wheel(session)
    pytest(session, "-m", "reliability", "--timeout", "1800", env={"ANYFAST_LONG": "1"})


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure which lines and branches the tests reach."""
    session.install("-e", ".[cli]", *group("test", "coverage"))
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q", *session.posargs)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning or a dead reference fails it."""
    session.install(".[cli]", *group("docs"))
    session.install("--force-reinstall", "--no-deps", str(ROOT))
    session.run("sphinx-build", "-W", "-n", "-q", "--keep-going", "-b", "html", "docs", "docs/_build/html")
    session.log("written to docs/_build/html/index.html")


@nox.session(reuse_venv=False)
def build(session: nox.Session) -> None:
    """Build wheel and sdist, check what is in them, and that a base install stays small."""
    session.install(*PYPROJECT["build-system"]["requires"])
    folder = Path(session.create_tmp()) / "dist"
    for old in folder.glob("*"):
        old.unlink()
    session.run("python", "-m", "hatchling", "build", "-d", str(folder))
    built, packed = next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))

    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "anyfast_async").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(built) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        infos = {name.rpartition("/")[2] for name in archive.namelist() if ".dist-info/" in name}
    if names != sources:
        session.error(f"the wheel differs from anyfast_async/ in: {sorted(names ^ sources)}")
    if missing := {"METADATA", "LICENSE", "entry_points.txt"} - infos:
        session.error(f"the wheel has no {sorted(missing)}")

    with tarfile.open(packed) as archive:
        packed_names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "noxfile.py", "docs/conf.py"}
    wanted |= sources | {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    if missing := wanted - packed_names:
        session.error(f"the sdist has no {sorted(missing)}")

    session.run("python", "-m", "venv", "--clear", str(folder.parent / "base"), external=True)
    python = str(folder.parent / "base" / "bin" / "python")
    session.run(python, "-m", "pip", "install", "-q", str(built), external=True)
    listed = session.run(python, "-m", "pip", "list", "--format=freeze", silent=True, external=True)
    packages = [line for line in str(listed).splitlines() if not line.startswith(("pip=", "setuptools="))]
    if len(packages) > BASE_PACKAGES:
        session.error(f"a base install has {len(packages)} packages, more than {BASE_PACKAGES}: {packages}")
    session.log(f"wheel {built.stat().st_size // 1024} KiB, sdist {packed.stat().st_size // 1024} KiB")
    session.log(f"base install: {len(packages)} packages")


AIMOCK = "@copilotkit/aimock@1.43.0"
LITELLM = "litellm[proxy]==1.106.2"


@nox.session
def interop(session: nox.Session) -> None:
    """Talk to servers that others wrote: aimock (needs Node 20 and npm) and LiteLLM's proxy."""
    install_wheel(session)
    servers = Path(session.create_tmp()).resolve() / "servers"
    aimock, litellm = servers / "aimock", servers / "litellm"
    session.run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(aimock), AIMOCK, external=True)
    # A venv of its own: it pins much of what this package depends on.
    session.run("python", "-m", "venv", str(litellm))
    session.run(str(litellm / "bin" / "python"), "-m", "pip", "install", "-q", LITELLM, external=True)
    programs = {
        "INTEROP_AIMOCK": str(aimock / "node_modules" / ".bin" / "llmock"),
        "INTEROP_LITELLM": str(litellm / "bin" / "litellm"),
    }
    pytest(session, "-m", "interop", "tests/interop", env=programs)
