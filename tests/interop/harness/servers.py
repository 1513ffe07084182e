"""Servers that run an application (app.py): what a gateway written in Python stands on."""

from __future__ import annotations

from peers import Peer

_ASGI = ("uvicorn", "httptools", "h11", "uvicorn-worker", "hypercorn", "granian", "daphne", "gunicorn")


def _server(name: str, package: str, command: str, *, limit: str = "", reload: str = "") -> Peer:
    return Peer(
        name=name,
        kind="server",
        pip=_ASGI,
        folder="asgi",
        version=f"pip {package}",
        command=f"<python> -m {command} <limit>",
        limit=limit,
        reload=reload,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )


_UVICORN = "uvicorn app:app --host 127.0.0.1 --port <port> --timeout-keep-alive 1 --log-level warning --http"
_GUNICORN = "gunicorn app:app -b 127.0.0.1:<port> --keep-alive 1 --graceful-timeout 3 -k"

SERVERS = (
    _server("uvicorn (h11)", "uvicorn", f"{_UVICORN} h11", limit="--limit-concurrency 4"),
    _server("uvicorn (httptools)", "uvicorn", f"{_UVICORN} httptools", limit="--limit-concurrency 4"),
    _server(
        "hypercorn",
        "hypercorn",
        "hypercorn app:app --bind 127.0.0.1:<port> --keep-alive 1 --graceful-timeout 3",
        limit="--max-requests 10",
    ),
    _server(
        "granian",
        "granian",
        "granian --interface asgi app:app --host 127.0.0.1 --port <port>",
        limit="--backpressure 4",
        reload="SIGHUP",
    ),
    _server("daphne", "daphne", "daphne -b 127.0.0.1 -p <port> app:app"),
    _server("gunicorn (uvicorn)", "gunicorn", f"{_GUNICORN} uvicorn_worker.UvicornWorker", reload="SIGHUP"),
    _server("gunicorn (asgi)", "gunicorn", f"{_GUNICORN} asgi", reload="SIGHUP", limit="--worker-connections 4"),
)
"""Each runs app.py."""
