from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from livethread_server.auth import keys
from livethread_server.auth.keys import KeySet, OneKey, key_set
from livethread_server.settings import SettingsError
from tests.tokens import SECRET, jwk, jwks, pem


def a_file(folder: Path, content: bytes | str) -> Path:
    path = folder / "key"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class Source:
    """Where a JWKS is read, as often as it is asked for; an answer that is an exception is raised."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self) -> bytes:
        self.asked += 1
        answer = self.answers[min(self.asked, len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def found(of: OneKey | KeySet, kid: str | None, algorithm: str) -> list[str | None]:
    return [key.kid for key in await of.find(kid, algorithm)]


async def test_a_key_is_for_the_algorithm_of_its_kind_and_no_other(
    tmp_path: Path, rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    for content, algorithm in ((pem(rsa_key), "RS256"), (pem(ec_key), "ES256"), (SECRET, "HS256")):
        one = OneKey(a_file(tmp_path, content))
        assert one.key.algorithm == algorithm
        for other in ("HS256", "RS256", "ES256", "none", ""):
            assert len(await one.find("any", other)) == (other == algorithm)


def test_a_secret_is_the_file_without_its_last_line_break(tmp_path: Path) -> None:
    assert OneKey(a_file(tmp_path, f"{SECRET} \r\n")).key.key == f"{SECRET} ".encode()


def test_a_key_that_is_weak_private_or_of_another_kind_is_refused(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    private = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    other = ec.generate_private_key(ec.SECP384R1())
    broken = b"-----BEGIN PUBLIC KEY-----\nsecret\n-----END PUBLIC KEY-----\n"
    for content in (private, pem(weak), pem(other), broken):
        with pytest.raises(SettingsError, match="never its private one"):
            OneKey(a_file(tmp_path, content))
    with pytest.raises(SettingsError, match="a secret of 31 bytes"):
        OneKey(a_file(tmp_path, "x" * 31))
    with pytest.raises(SettingsError, match="cannot be read"):
        OneKey(tmp_path / "nowhere")


async def test_keys_are_found_by_their_name_and_algorithm(
    rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    listed = jwks(
        jwk(rsa_key, "RS256", kid="one"),
        jwk(rsa_key, "RS256", kid="two", use="sig"),
        jwk(ec_key, "ES256", kid="two"),
        jwk(rsa_key, "RS256", kid="enc", use="enc"),
        jwk(rsa_key, "RS512", kid="long", alg="RS512"),
        jwk(SECRET, "HS256", kid="shared"),
        {"kty": "oct", "k": "AAAA", "alg": "RS256", "kid": "odd"},
        {"kty": "strange", "kid": "what"},
    )
    public = KeySet(Source(listed), secrets=False)
    assert await found(public, "two", "RS256") == ["two"]
    assert await found(public, None, "RS256") == ["one", "two"]
    assert await found(public, "two", "ES256") == ["two"]
    assert [await found(public, kid, "RS256") for kid in ("enc", "long", "odd", "nobody")] == [[]] * 4
    assert await found(public, "shared", "HS256") == []
    assert await found(KeySet(Source(listed), secrets=True), "shared", "HS256") == ["shared"]


async def test_a_jwks_is_asked_for_when_needed_and_then_left_alone(
    rsa_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(jwks(jwk(rsa_key, "RS256", kid="old")), jwks(jwk(rsa_key, "RS256", kid="new")))
    known = KeySet(source, secrets=False)
    await asyncio.gather(*(known.find("old", "RS256") for _ in range(5)))
    assert source.asked == 1
    assert await found(known, "new", "RS256") == []
    assert source.asked == 1
    monkeypatch.setattr(keys, "PAUSE_SECONDS", 0.0)
    assert await found(known, "old", "RS256") == ["old"]
    assert source.asked == 1
    assert await found(known, "new", "RS256") == ["new"]
    assert await found(known, "old", "RS256") == []


async def test_where_no_jwks_comes_the_keys_that_there_are_go_on_to_hold(
    rsa_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(keys, "FRESH_SECONDS", 0.0)
    bad = (OSError("no route"), b"not json", b"[]", b"{}", b'{"keys": 5}', b'{"keys": [5]}', b"[" * 100_000)
    source = Source(jwks(jwk(rsa_key, "RS256", kid="one")), *bad)
    known = KeySet(source, secrets=False)
    for _ in range(len(bad) + 1):
        assert await found(known, "one", "RS256") == ["one"]
    assert len(re.findall("could not be read", caplog.text)) == len(bad)


async def test_a_key_that_cannot_be_used_spoils_no_other(ec_key: ec.EllipticCurvePrivateKey) -> None:
    good = jwk(ec_key, "ES256", kid="good")
    nowhere = {**good, "kid": "nowhere", "x": good["y"], "y": good["x"]}
    odd: list[Any] = [
        nowhere,
        {**good, "x": 5},
        {**good, "alg": ["ES256"]},
        {**good, "kty": ["EC"]},
        {"kty": "RSA", "n": "AQ"},
        5,
    ]
    known = KeySet(Source(jwks(*odd, good)), secrets=False)
    assert await found(known, "good", "ES256") == ["good"]
    assert await found(known, "nowhere", "ES256") == []


class Slow(Source):
    """A source that answers when the test lets it."""

    def __init__(self, *answers: bytes | Exception) -> None:
        super().__init__(*answers)
        self.let = Event()

    def __call__(self) -> bytes:
        answer = super().__call__()
        assert self.let.wait(10)
        return answer


async def test_all_who_come_while_the_keys_are_asked_for_get_them(rsa_key: rsa.RSAPrivateKey) -> None:
    source = Slow(jwks(jwk(rsa_key, "RS256", kid="one")))
    known = KeySet(source, secrets=False)
    waiting = [asyncio.create_task(found(known, "one", "RS256")) for _ in range(5)]
    while not source.asked:  # noqa: ASYNC110 - it is asked on an OS thread
        await asyncio.sleep(0.001)
    source.let.set()
    assert await asyncio.gather(*waiting) == [["one"]] * 5
    assert source.asked == 1


@pytest.mark.parametrize("trouble", [OSError("no route"), IncompleteRead(b""), b"[]"])
async def test_while_there_are_no_keys_they_are_asked_for_again_soon_but_not_at_once(
    rsa_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch, trouble: bytes | Exception
) -> None:
    source = Source(trouble, jwks(jwk(rsa_key, "RS256", kid="one")))
    known = KeySet(source, secrets=False)
    for _ in range(2):
        assert await found(known, "one", "RS256") == []
    assert source.asked == 1
    monkeypatch.setattr(keys, "RETRY_SECONDS", 0.0)
    assert await found(known, "one", "RS256") == ["one"]


def test_a_jwks_file_must_be_there_at_the_start(tmp_path: Path, ec_key: ec.EllipticCurvePrivateKey) -> None:
    key_set(str(a_file(tmp_path, jwks(jwk(ec_key, "ES256")))))
    for where in (str(tmp_path / "nowhere"), str(a_file(tmp_path, "{}"))):
        with pytest.raises(SettingsError, match="--jwt-jwks cannot be used"):
            key_set(where)


@pytest.mark.parametrize(
    "url", ["http://id.example/keys", "file:///etc/passwd", "ftp://127.0.0.1/keys", "http:///keys"]
)
def test_keys_never_come_over_a_wire_that_others_write_to(url: str) -> None:
    with pytest.raises(SettingsError, match="not safe from others"):
        key_set(url)


class Publishing(BaseHTTPRequestHandler):
    """An issuer's keys at ``/keys``, a redirect to them, and far too many."""

    keys = b""

    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/moved" else 200)
        if self.path == "/moved":
            self.send_header("Location", "/keys")
        self.end_headers()
        self.wfile.write(b" " * (2 << 20) if self.path == "/many" else self.keys)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def issuer(ec_key: ec.EllipticCurvePrivateKey) -> Iterator[str]:
    Publishing.keys = jwks(jwk(ec_key, "ES256", kid="web"))
    with HTTPServer(("127.0.0.1", 0), Publishing) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


async def test_keys_come_from_the_url_itself_and_not_from_where_it_leads(issuer: str) -> None:
    assert await found(key_set(f"{issuer}/keys"), "web", "ES256") == ["web"]
    for path in ("/moved", "/many"):
        assert await found(key_set(issuer + path), "web", "ES256") == []
