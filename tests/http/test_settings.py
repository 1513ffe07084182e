"""The settings of a client: base URL, headers, proxy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from anyfast_async import ConfigurationError
from anyfast_async._http.settings import base_url_of, check_kind, headers_of, proxy_of, unused_proxy

HTTPS = URL("https://gateway.example/v1")


@pytest.mark.parametrize(
    "given",
    [
        *("https://g.example", "https://g.example/", "https://g.example/v1", " https://g.example/v1/\n"),
        *("https://g.example/v1/chat/completions", "https://g.example//v1/chat//completions/"),
    ],
)
def test_base_url_ends_in_v1(given: str) -> None:
    """With or without /v1, slash, white space, or as the whole endpoint, it is the same gateway."""
    assert URL("https://g.example/v1") == base_url_of(given, ())


def test_base_url_keeps_a_path() -> None:
    """A gateway behind a path is reached there."""
    assert URL("https://g.example/ai/v1") == base_url_of("https://g.example/ai", ())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("g.example/v1", "must start with https://"),
        ("ftp://g.example", "must start with https://"),
        ("https://", "must start with https://|is no URL"),
        ("https://me:pw@g.example", "no user, password"),
        ("https://g.example/?a=1", "no user, password, query"),
        ("http://g.example", r"plain http to g.example.*allow_http=\['g.example'\]"),
        ("http://127.0.0.1.example", "plain http"),
        ("https://g.example:port", "is no URL"),
        (5, "is no URL"),
        (b"https://g.example", "is no URL"),
        ("https://xn--/v1", "is no URL"),
        ("https://a..b/v1", "is no URL"),
        (f"https://{'a' * 64}.example", "is no URL"),
        ("https://g%00.example", "is no URL"),
        ("https://[::1/v1", "is no URL"),
        ("https://g.example/v1\r\nX: y", "holds a space, a line break"),
        ("https://g.exam\tple/v1", "a control character"),
        ("https://g.example/a b/v1", "holds a space"),
        ("https://g.example/v1\u200b/x", "a control character"),
        ("https://g.example/v1/chat/completions?api-version=1", "no user, password, query"),
        (
            "https://g.example/chat/completions",
            "must end where .*, in /v1, not in '/chat/completions'",
        ),
        ("https://g.example/v1/chat/completions/chat/completions", "must end where the endpoints begin"),
        ("https://g.example/V1/Models", "must end where the endpoints begin"),
        *((f"https://g.example/v1/{name}", "must end") for name in ("chat", "completions", "responses", "embeddings")),
    ],
)
def test_other_base_urls_are_refused(given: str, words: str) -> None:
    """What is no https URL is an error that says what is allowed."""
    with pytest.raises(ConfigurationError, match=f"base_url.*({words})"):
        base_url_of(given, ())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_plain_http_to_this_machine_is_allowed(host: str) -> None:
    """A simulator or a local gateway needs no certificate."""
    assert "http" == base_url_of(f"http://{host}:80", ()).scheme


def test_plain_http_can_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By an argument or the environment, host by host."""
    assert "g.example" == base_url_of("http://g.example", ("g.example",)).host
    monkeypatch.setenv("ANYFAST_ALLOW_HTTP", "a.example, b.example")
    assert "b.example" == base_url_of("http://b.example", ()).host
    with pytest.raises(ConfigurationError):
        base_url_of("http://c.example", ())


def test_base_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument it is ANYFAST_BASE_URL, else the public gateway; errors name the variable."""
    assert "https://www.anyfast.ai/v1" == str(base_url_of(None, ()))
    monkeypatch.setenv("ANYFAST_BASE_URL", "https://other.example")
    assert "other.example" == base_url_of(None, ()).host
    monkeypatch.setenv("ANYFAST_BASE_URL", "nonsense")
    with pytest.raises(ConfigurationError, match="ANYFAST_BASE_URL must start with"):
        base_url_of(None, ())


def test_headers() -> None:
    """Good headers pass; those that the client sets itself, and what HTTP forbids, do not."""
    assert {"X-Tag": "a b"} == headers_of("headers", {"X-Tag": "a b"})
    assert {} == headers_of("headers", None)
    for bad in (
        {"Authorization": "x"},
        {"content-length": "1"},
        {"a b": "x"},
        {"": "x"},
        {"X": "a\r\nB: c"},
        {"X": "é"},
    ):
        with pytest.raises(ConfigurationError, match=r"^headers"):
            headers_of("headers", bad)


def test_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The word "env" is HTTPS_PROXY, unless NO_PROXY names the host, and never for plain http or this machine."""
    assert proxy_of("env", HTTPS) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert "http://proxy.example:3128" == proxy_of("env", HTTPS)
    assert proxy_of(None, HTTPS) is None
    assert proxy_of("env", URL("http://127.0.0.1:1/v1")) is None
    assert "HTTPS_PROXY is set but not used" in unused_proxy(None, HTTPS)
    monkeypatch.setenv("NO_PROXY", "gateway.example")
    assert proxy_of("env", HTTPS) is None
    assert "" == unused_proxy(None, HTTPS)


def test_a_proxy_is_a_url() -> None:
    """A URL is taken as it is, anything else is refused."""
    assert "http://p.example:1" == proxy_of("http://p.example:1", HTTPS)
    for bad in ("p.example:1", "socks5://p.example", "http://p:port"):
        with pytest.raises(ConfigurationError, match="proxy must be"):
            proxy_of(bad, HTTPS)


def test_kinds_are_checked_by_name() -> None:
    """The message names the argument and what it may be."""
    check_kind("budget", None, int, None)
    with pytest.raises(ConfigurationError, match="budget must be int or None, not str"):
        check_kind("budget", "x", int, None)


@pytest.mark.parametrize("given", [[("A", "b")], "A: b", 5])
def test_headers_of_another_type(given: Any) -> None:
    """Headers that are no mapping are refused by their type."""
    with pytest.raises(ConfigurationError, match=f"headers must be a mapping .*, not {type(given).__name__}"):
        headers_of("headers", given)


@given(
    st.text()
    | st.text(":/[]@?#%.v1\\x\t ").map("https://{}".format)
    | st.text("/v1chatompleinsd").map("https://g/{}".format)
)
def test_any_base_url_is_taken_or_refused(text: str) -> None:
    """Whatever the text, it is a ConfigurationError, or a URL that ends in /v1 once and has a host."""
    try:
        url = base_url_of(text, ())
    except ConfigurationError:
        return
    assert url.host
    assert url.path.lower().endswith("/v1")
    assert "/chat/completions/" not in url.path
    assert url == base_url_of(str(url), ())
