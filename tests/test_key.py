"""Where the key comes from, and that it never shows."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

from anyfast_async._key import NO_KEY, Key, Secret, checked
from anyfast_async.errors import ConfigurationError

VALUE = "sk-0123456789abcdefghij"


@pytest.mark.parametrize("value", [VALUE, f"  {VALUE}\n", f"\t{VALUE}\r\n", f"\u00a0{VALUE}\u2003"])
def test_white_space_around_a_key_is_stripped(value: str) -> None:
    """A key copied with white space or a line end around it is the key."""
    assert f"Bearer {VALUE}" == checked(value, "api_key").header()
    assert f"Authorization: Bearer {VALUE}\r\n".encode() == checked(value, "api_key").line()


@pytest.mark.parametrize("value", ["x", "!~", "a" * 512, "a/b+c=", "sk-a-1", "bearer", "Bearerx"])
def test_keys_that_pass(value: str) -> None:
    """Any run of printable ASCII up to 512 characters may be a key, and goes out unchanged."""
    assert f"Bearer {value}" == checked(value, "api_key").header()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        (f"Bearer {VALUE}", "starts with 'Bearer '; pass the key alone"),
        (f"bearer {VALUE}", "starts with 'Bearer '"),
        (f"{VALUE} {VALUE}", "holds a space, a line break, a control character"),
        (f"{VALUE}\n{VALUE}", "a line break"),
        (f"{VALUE}\x00", "a control character"),
        (f"{VALUE}\x7f", "a control character"),
        (f"{VALUE}é", "outside of ASCII"),
        (f"{VALUE}\u200b", "outside of ASCII"),
        ("a" * 513, "is longer than 512 characters"),
    ],
)
def test_keys_that_cannot_be(value: str, words: str) -> None:
    """What cannot be a key is refused with the reason and its source, and without showing it."""
    with pytest.raises(ConfigurationError, match=f"^the place {words}|^the place holds .*{words}") as found:
        checked(value, "the place")
    assert "0123456789" not in "".join(traceback.format_exception(found.value))
    assert "its value is not shown here" in str(found.value)


@pytest.mark.parametrize("value", [None, 5, b"sk-secret", ["sk-secret"]])
def test_keys_of_another_type(value: Any) -> None:
    """What is no string is refused by its type alone."""
    with pytest.raises(ConfigurationError, match=f"^x must be a string, not {type(value).__name__}$"):
        checked(value, "x")


def test_a_secret_does_not_show(caplog: pytest.LogCaptureFixture) -> None:
    """A key shows in no repr, format, log, attribute listing, pickle or copy."""
    secret = Secret(VALUE)
    logging.getLogger("x").warning("%s %r", secret, secret)
    shown = f"{secret} {secret!r} {secret!s:>5} {[secret]} {caplog.text} {dir(secret)}"
    assert VALUE not in shown
    assert not hasattr(secret, "__dict__")
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a key is not pickled"):
            take(secret)


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        (VALUE, f"a {VALUE} b {VALUE}", "a *** b ***"),
        (VALUE, f"ends in {VALUE[-8:]}.", "ends in ***."),
        (VALUE, f"ends in {VALUE[-7:]}.", f"ends in {VALUE[-7:]}."),
        ("short-key", "a short-key, not -key", "a ***, not -key"),
        ("0123456789abcdef", "the 89abcdef end", "the *** end"),
        ("0123456789abcde", "the 789abcde end", "the 789abcde end"),
    ],
)
def test_hide(key: str, text: str, wanted: str) -> None:
    """The whole key is taken out of a text, and of a long one its last 8 characters, by which gateways name it."""
    assert wanted == Secret(key).hide(text)


# -- where it comes from ----------------------------------------------------------------------------------------------


async def test_a_string() -> None:
    """A string is the key, and cannot be renewed."""
    key = Key(f" {VALUE}\n", {})
    assert (f"Bearer {VALUE}", False) == ((await key.get()).header(), key.renewable)


async def test_the_environment() -> None:
    """Without an argument ANYFAST_API_KEY is taken, before ANYFAST_API_KEY_FILE; an argument goes before both."""
    environ = {"ANYFAST_API_KEY": VALUE, "ANYFAST_API_KEY_FILE": "/no/such/file"}
    key = Key(None, environ)
    assert (f"Bearer {VALUE}", False) == ((await key.get()).header(), key.renewable)
    assert "Bearer other" == (await Key("other", environ).get()).header()


async def test_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read when the client is built, not at import."""
    monkeypatch.setenv("ANYFAST_API_KEY", VALUE)
    assert f"Bearer {VALUE}" == (await Key(None).get()).header()


@pytest.mark.parametrize(
    "environ", [{}, {"ANYFAST_API_KEY": ""}, {"OPENAI_API_KEY": VALUE}, {"ANYFAST_API_KEY_FILE": ""}]
)
def test_no_key(environ: dict[str, str]) -> None:
    """Without a key the error names what to set, and the simulator; another vendor's key is never taken."""
    with pytest.raises(ConfigurationError) as found:
        Key(None, environ)
    assert NO_KEY == str(found.value)
    for name in ("api_key=", "ANYFAST_API_KEY", "ANYFAST_API_KEY_FILE", "simulator"):
        assert name in NO_KEY


def test_a_blank_key_in_the_environment() -> None:
    """A variable of white space is an error that names the variable, not a missing key."""
    with pytest.raises(ConfigurationError, match=r"^ANYFAST_API_KEY is empty"):
        Key(None, {"ANYFAST_API_KEY": "  "})


@pytest.mark.parametrize("given", [5, b"sk", ["sk"], {}])
def test_a_source_of_another_type(given: Any) -> None:
    """Anything but a string, a path or a function is refused by its type."""
    with pytest.raises(ConfigurationError, match=rf"not {type(given).__name__}$"):
        Key(given, {})


async def test_a_file(tmp_path: Path) -> None:
    """A file is read when the client is built, and again only when it has changed."""
    file = tmp_path / "key"
    file.write_text(f"{VALUE}\n")
    for key in (Key(file, {}), Key(None, {"ANYFAST_API_KEY_FILE": str(file)})):
        file.write_text(f"{VALUE}\n")
        first = await key.get()
        assert (f"Bearer {VALUE}", True) == (first.header(), key.renewable)
        assert first is await key.get()
        file.write_text("another\n")
        assert "Bearer another" == (await key.get()).header()
        file.write_text("annther\n")
        os.utime(file, ns=(1, 1))
        assert "Bearer annther" == (await key.get()).header()


def test_a_string_is_never_a_file(tmp_path: Path) -> None:
    """The name of a file given as a string is the key itself: only a Path is opened."""
    (tmp_path / "key").write_text(VALUE)
    assert f"Bearer {tmp_path}/key" == Key(f"{tmp_path}/key", {})._secret.header()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read the key from .*: No such file or directory"),
        (b"", "the key in .* is empty"),
        (b"a b", "the key in .* holds a space"),
        (b"\xff\xfe\x00", "cannot read the key from .*: not text"),
    ],
)
async def test_a_file_that_holds_no_key(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A file that is missing, empty or no text is an error that names it, when the client is built and later."""
    file = tmp_path / "key"
    file.write_text(VALUE)
    key = Key(file, {})
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words):
        Key(file, {})
    with pytest.raises(ConfigurationError, match=words) as found:
        await key.get()
    assert found.value.__cause__ is None


def test_a_directory(tmp_path: Path) -> None:
    """A directory in place of a file is an error that says so."""
    with pytest.raises(ConfigurationError, match=r"Is a directory|Permission denied"):
        Key(tmp_path, {})


def test_a_path_that_cannot_be() -> None:
    """A path that no file can have is a ConfigurationError too."""
    with pytest.raises(ConfigurationError, match="cannot read the key"):
        Key(Path("a\0b"), {})


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    """A key file saved as UTF-8 with a byte order mark holds the key."""
    file = tmp_path / "key"
    file.write_text(VALUE, encoding="utf-8-sig")
    assert f"Bearer {VALUE}" == Key(file, {})._secret.header()  # type: ignore[union-attr]


async def test_a_function() -> None:
    """A function is asked for every attempt, not when the client is built, and what it returns is checked."""
    answers = iter([VALUE, "another\n", "a b", None])

    async def ask() -> str:
        return next(answers)  # type: ignore[return-value]

    key = Key(ask, {})
    assert key.renewable
    assert [f"Bearer {VALUE}", "Bearer another"] == [(await key.get()).header() for _ in range(2)]
    with pytest.raises(ConfigurationError, match=r"^the result of api_key\(\) holds a space"):
        await key.get()
    with pytest.raises(ConfigurationError, match=r"^the result of api_key\(\) must be a string, not NoneType"):
        await key.get()


async def test_a_function_that_is_not_async() -> None:
    """A plain function in place of an async one is a ConfigurationError that says so."""
    with pytest.raises(ConfigurationError, match="async"):
        await Key(lambda: VALUE, {}).get()  # type: ignore[arg-type]


async def test_an_error_of_the_function_comes_out() -> None:
    """What the function raises is the caller's own error and comes out as it is."""

    async def ask() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        await Key(ask, {}).get()
