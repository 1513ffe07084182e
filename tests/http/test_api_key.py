"""Where the key comes from, and that it never shows."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import pickle
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyfast_async._http import api_key, local_files
from anyfast_async._http.api_key import NO_KEY, Key, Secret, checked
from anyfast_async.errors import ConfigurationError

VALUE = "sk-0123456789abcdefghij"
OLD, NEW = "sk-old-0123456789", "sk-new-0123456789"


def value_of(secret: Secret) -> str:
    """The key as the server sees it."""
    return secret.headers()["Authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize("value", [VALUE, f"  {VALUE}\n", f"\t{VALUE}\r\n", f"\u00a0{VALUE}\u2003"])
def test_white_space_around_a_key_is_stripped(value: str) -> None:
    """A key copied with white space or a line end around it is the key."""
    assert VALUE == value_of(checked(value, "api_key"))
    assert f"Authorization: Bearer {VALUE}\r\n".encode() == checked(value, "api_key").line


@pytest.mark.parametrize("value", ["x", "!~", "a" * 512, "a/b+c=", "sk-a-1", "bearer", "Bearerx"])
def test_keys_that_pass(value: str) -> None:
    """Any run of printable ASCII up to 512 characters may be a key, and goes out unchanged."""
    assert value == value_of(checked(value, "api_key"))


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
        ("0123456789abcdef", "x0123456789abcdefx", "x***x"),
        ("0123456789abcde", "x0123456789abcde", "x0123456789abcde"),
        ("test", "test, the latest tests: (test)_test", "***, the latest tests: (***)_test"),
        ("k", "k-k7 ok \u00e9k k\u00e9 'k'", "***-k7 ok \u00e9k k\u00e9 '***'"),
        ("a.b", "a.b axb", "*** axb"),
        ("!~", "(!~) a!~", "(***) a***"),
    ],
)
def test_hide(key: str, text: str, wanted: str) -> None:
    """A long key is taken out wherever it stands, and its last 8 characters; a short one where it stands alone."""
    assert wanted == Secret(key).hide(text)


@given(
    st.text("ab.-_7", min_size=1, max_size=24), st.lists(st.sampled_from(["{}", " ", "a", "7", "_", "-", "x{}", "{}x"]))
)
def test_hide_leaves_no_key_that_stands_alone(key: str, parts: list[str]) -> None:
    """After hiding, the key stands nowhere alone, and a long one nowhere at all."""
    shown = Secret(key).hide("".join(parts).replace("{}", key))
    alone = [i for i in range(len(shown)) if shown.startswith(key, i) and _stands_alone(shown, i, key)]
    assert [] == alone
    assert key not in shown or len(key) < 16


def _stands_alone(text: str, start: int, key: str) -> bool:
    """Whether the word that the key begins with begins there, and the one that it ends with ends."""
    edges = (text[start - 1 : start] + key[0], key[-1] + text[start + len(key) : start + len(key) + 1])
    return not any(len(edge) == 2 and all(c.isalnum() or c == "_" for c in edge) for edge in edges)


# -- none at all -----------------------------------------------------------------------------------------------------


async def test_no_key_on_purpose() -> None:
    """NO_KEY sends nothing and hides nothing; it goes before the environment, copies and pickles as itself."""
    key = Key(NO_KEY, {"ANYFAST_API_KEY": VALUE})
    secret = await key.get()
    assert ({}, b"", "a text", True, False) == (
        secret.headers(), secret.line, secret.hide("a text"), key.absent, key.renewable
    )  # fmt: skip
    assert secret is key.fixed
    assert "NO_KEY" == repr(NO_KEY)
    assert all(NO_KEY is again for again in (copy.deepcopy(NO_KEY), pickle.loads(pickle.dumps(NO_KEY))))  # noqa: S301


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: Key(VALUE, {"ANYFAST_API_KEY": "x"}), "check the key that was passed, or "),
        (lambda _: Key(None, {"ANYFAST_API_KEY": VALUE}), "check ANYFAST_API_KEY, or "),
        (lambda file: Key(file, {}), "check the key in {file}, or "),
        (
            lambda file: Key(None, {"ANYFAST_API_KEY_FILE": str(file)}),
            "check the key in {file}, which ANYFAST_API_KEY_FILE names, or ",
        ),
        (lambda _: Key(_nothing, {}), "check what the function passed as api_key returns, or "),
        (lambda _: Key(NO_KEY, {}), "this server wants a key, and NO_KEY (--no-key) sends none"),
    ],
)
def test_advice_for_a_refused_key(make: Callable[[Path], Key], words: str, tmp_path: Path) -> None:
    """What to check when the key is refused is where this one came from, nothing else."""
    file = tmp_path / "key"
    file.write_text(VALUE)
    assert make(file).advice.startswith(words.format(file=file))


async def _nothing() -> str:
    return ""


# -- where it comes from ----------------------------------------------------------------------------------------------


async def test_a_string() -> None:
    """A string is the key, and cannot be renewed."""
    key = Key(f" {VALUE}\n", {})
    assert (VALUE, False) == (value_of(await key.get()), key.renewable)


async def test_the_environment() -> None:
    """Without an argument ANYFAST_API_KEY is taken, before ANYFAST_API_KEY_FILE; an argument goes before both."""
    environ = {"ANYFAST_API_KEY": VALUE, "ANYFAST_API_KEY_FILE": "/no/such/file"}
    key = Key(None, environ)
    assert (VALUE, False) == (value_of(await key.get()), key.renewable)
    assert "other" == value_of(await Key("other", environ).get())


async def test_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read when the client is built, not at import."""
    monkeypatch.setenv("ANYFAST_API_KEY", VALUE)
    assert VALUE == value_of(await Key(None).get())


@pytest.mark.parametrize(
    "environ", [{}, {"ANYFAST_API_KEY": ""}, {"OPENAI_API_KEY": VALUE}, {"ANYFAST_API_KEY_FILE": ""}]
)
def test_no_key(environ: dict[str, str]) -> None:
    """Without a key the error names what to set, and the simulator; another vendor's key is never taken."""
    with pytest.raises(ConfigurationError) as found:
        Key(None, environ)
    for name in ("api_key=", "ANYFAST_API_KEY", "ANYFAST_API_KEY_FILE", "NO_KEY", "simulator"):
        assert name in str(found.value)


def test_a_blank_key_in_the_environment() -> None:
    """A variable of white space is an error that names the variable, not a missing key."""
    with pytest.raises(ConfigurationError, match=r"^ANYFAST_API_KEY is empty"):
        Key(None, {"ANYFAST_API_KEY": "  "})


@pytest.mark.parametrize("given", [5, b"sk", ["sk"], {}])
def test_a_source_of_another_type(given: Any) -> None:
    """Anything but a string, a path or a function is refused by its type."""
    with pytest.raises(ConfigurationError, match=rf"not {type(given).__name__}$"):
        Key(given, {})


@pytest.fixture
def old_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes of files count as so old at once that no other can have their time."""
    monkeypatch.setattr(api_key, "_RACY", -(10**15))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that read a key file."""
    threads: list[str] = []
    content_of = local_files.content_of

    def noted(path: Path, limit: int) -> bytes:
        threads.append(threading.current_thread().name)
        return content_of(path, limit)

    monkeypatch.setattr(api_key, "content_of", noted)
    return threads


@pytest.mark.usefixtures("old_changes")
async def test_a_file(tmp_path: Path, reads: list[str]) -> None:
    """A file is read when the client is built, and again, in a thread, only when it has changed."""
    file = tmp_path / "key"
    sources: list[tuple[Path | None, dict[str, str]]] = [(file, {}), (None, {"ANYFAST_API_KEY_FILE": str(file)})]
    for source in sources:
        file.write_text(f"{VALUE}\n")
        reads.clear()
        key = Key(*source)
        first = await key.get()
        assert (VALUE, True, None) == (value_of(first), key.renewable, key.fixed)
        assert first is await key.get()
        assert ["MainThread"] == reads
        file.write_text("another\n")
        assert "another" == value_of(await key.get())
        assert [True, False] == [name == "MainThread" for name in reads]


@pytest.mark.usefixtures("old_changes")
async def test_a_file_put_in_the_place_of_another(tmp_path: Path) -> None:
    """Another file of the same size and times is another one: ``cp -p``, ``rsync -t``, a restored secret."""
    file, other = tmp_path / "key", tmp_path / "next"
    for path, content in ((file, OLD), (other, NEW)):
        path.write_text(content)
        os.utime(path, (1, 1))
    key = Key(file, {})
    os.replace(other, file)  # noqa: PTH105 - what deployments do
    assert NEW == value_of(await key.get())


@pytest.mark.usefixtures("old_changes")
async def test_a_file_written_over_with_its_old_time(tmp_path: Path) -> None:
    """Another key of the same length, written into the same file and given the old time, is seen by the change time."""
    file = tmp_path / "key"
    file.write_text(OLD)
    os.utime(file, (1, 1))
    key = Key(file, {})
    file.write_text(NEW)
    os.utime(file, (1, 1))
    assert NEW == value_of(await key.get())


async def test_a_file_that_has_just_changed_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes within the clock of the file system look alike, so what has just changed is read again."""
    file = tmp_path / "key"
    file.write_text(OLD)
    key = Key(file, {})
    status = await asyncio.to_thread(local_files.status_of, file)
    monkeypatch.setattr(api_key, "status_of", lambda _: status)
    file.write_text(NEW)
    assert NEW == value_of(await key.get())


@pytest.mark.usefixtures("old_changes")
async def test_a_refused_key_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 401 the file is read whatever its status says, once."""
    file = tmp_path / "key"
    file.write_text(OLD)
    key = Key(file, {})
    status = await asyncio.to_thread(local_files.status_of, file)
    monkeypatch.setattr(api_key, "status_of", lambda _: status)
    file.write_text(NEW)
    assert OLD == value_of(await key.get())
    key.distrust()
    assert NEW == value_of(await key.get())


@pytest.mark.parametrize("meanwhile", [b"", b" \n", b"\xef\xbb\xbf", None, "unreadable"])
async def test_a_file_that_is_being_written(tmp_path: Path, meanwhile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the file is empty, away or cannot be read, the last good key goes on, after a 401 too; then the new one."""
    file = tmp_path / "key"
    file.write_text(OLD)
    key = Key(file, {})
    with monkeypatch.context() as patch:
        if meanwhile == "unreadable":
            patch.setattr(api_key, "content_of", Mock(side_effect=PermissionError(13, "denied")))
        elif meanwhile is None:
            file.unlink()
        else:
            file.write_bytes(meanwhile)
        assert OLD == value_of(await key.get())
        key.distrust()
        assert OLD == value_of(await key.get())
    file.write_text(NEW)
    assert NEW == value_of(await key.get())


@pytest.mark.parametrize(
    ("meanwhile", "words"),
    [
        (b"sk-new\n3456789abcdefgh\n", "holds a space, a line break"),
        (b"sk-new\0\0\0\0", "control character"),
        (b"sk-n\xc3", "it is not text"),
    ],
)
async def test_a_file_that_is_half_written(tmp_path: Path, meanwhile: bytes, words: str) -> None:
    """One key over another, or no text: the last good key goes on until it is refused; then the error says why."""
    file = tmp_path / "key"
    file.write_text(OLD)
    key = Key(file, {})
    file.write_bytes(meanwhile)
    assert [OLD, OLD] == [value_of(await key.get()) for _ in range(2)]
    key.distrust()
    with pytest.raises(ConfigurationError, match=words) as found:
        await key.get()
    assert (None, None) == (found.value.__cause__, found.value.__context__)
    file.write_text(NEW)
    assert NEW == value_of(await key.get())


async def test_one_look_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred attempts at once share a look, and none takes part in one that had begun before it."""
    file = tmp_path / "key"
    file.write_text(OLD)
    key = Key(file, {})
    looks, go_on = 0, threading.Event()
    status_of = local_files.status_of

    def slow(path: Path) -> os.stat_result:
        nonlocal looks
        looks += 1
        found = status_of(path)
        assert go_on.wait(10)
        return found

    monkeypatch.setattr(api_key, "status_of", slow)
    first = asyncio.create_task(key.get())
    while not looks:
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(key.get()) for _ in range(100)]
    for _ in range(3):
        await asyncio.sleep(0)
    others[7].cancel()
    go_on.set()
    found = await asyncio.gather(first, *others, return_exceptions=True)
    assert isinstance(found.pop(8), asyncio.CancelledError)
    assert {OLD} == {value_of(one) for one in found if isinstance(one, Secret)}
    assert 2 == looks


async def test_a_file_system_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that does not come back holds no attempt for long: the last good key goes on."""
    file = tmp_path / "key"
    file.write_text(OLD)
    key = Key(file, {})
    go_on = threading.Event()
    monkeypatch.setattr(api_key, "status_of", lambda _: go_on.wait(10))
    monkeypatch.setattr(api_key, "_PATIENCE", 0.01)
    try:
        assert [OLD, OLD] == [value_of(await key.get()) for _ in range(2)]
    finally:
        go_on.set()


def test_a_string_is_never_a_file(tmp_path: Path) -> None:
    """The name of a file given as a string is the key itself: only a Path is opened."""
    (tmp_path / "key").write_text(VALUE)
    assert f"{tmp_path}/key" == value_of(Key(f"{tmp_path}/key", {}).fixed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "words", "later"),
    [
        (None, "cannot read the key from .*: No such file or directory", False),
        (b"", "the key in .* is empty", False),
        (b"a b", "the key in .* holds a space", False),
        (b"\xff\xfe\x00", "cannot read the key from .*: it is not text", False),
        (b"a" * 4097, "cannot read the key from .*: it is larger than 4096 bytes", True),
    ],
)
async def test_a_file_that_holds_no_key(tmp_path: Path, content: bytes | None, words: str, later: bool) -> None:
    """A file without a key is an error that names it when the client is built; later too, if another thing is there."""
    file = tmp_path / "key"
    file.write_text(VALUE)
    key = Key(file, {})
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words) as found:
        Key(file, {})
    if later:
        with pytest.raises(ConfigurationError, match=words) as found:
            await key.get()
    assert (None, None) == (found.value.__cause__, found.value.__context__)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
async def test_what_may_never_end(tmp_path: Path) -> None:
    """A pipe that nobody writes to, and a device without an end, are refused at once, when built and later."""
    file = tmp_path / "key"
    file.write_text(VALUE)
    key = Key(file, {})
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ConfigurationError, match="no regular file, but a pipe, a device"):
        Key(file, {})
    with pytest.raises(ConfigurationError, match="no regular file, but a pipe, a device"):
        await key.get()
    with pytest.raises(ConfigurationError, match="no regular file, but a pipe, a device"):
        Key(Path("/dev/zero"), {})


def test_a_directory(tmp_path: Path) -> None:
    """A directory in place of a file is an error that says so."""
    with pytest.raises(ConfigurationError, match="it is a directory"):
        Key(tmp_path, {})


def test_a_path_that_cannot_be() -> None:
    """A path that no file can have is a ConfigurationError too."""
    with pytest.raises(ConfigurationError, match="cannot read the key"):
        Key(Path("a\0b"), {})


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    """A key file saved as UTF-8 with a byte order mark holds the key."""
    file = tmp_path / "key"
    file.write_text(VALUE, encoding="utf-8-sig")
    assert VALUE == value_of(Key(file, {})._secret)  # type: ignore[arg-type]


async def test_a_function() -> None:
    """A function is asked for every attempt, not when the client is built, and what it returns is checked."""
    answers = iter([VALUE, "another\n", "a b", None])

    async def ask() -> str:
        return next(answers)  # type: ignore[return-value]

    key = Key(ask, {})
    assert key.renewable
    assert [VALUE, "another"] == [value_of(await key.get()) for _ in range(2)]
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
