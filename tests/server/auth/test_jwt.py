from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal
from livethread_server.auth.jwt import JwtAuth, JwtRules
from livethread_server.auth.keys import ALGORITHMS, KeySet, OneKey
from tests.tokens import SECRET, claims, jwk, jwks, pem, signed


def rules(**more: Any) -> JwtRules:
    plain: dict[str, Any] = {
        "algorithms": ALGORITHMS,
        "audience": "livethread",
        "issuer": "https://id.example",
        "leeway": 30.0,
    }
    return JwtRules(**(plain | more))


def auth(folder: Path, key: bytes | str = SECRET, **more: Any) -> JwtAuth:
    path = folder / "key"
    path.write_bytes(key if isinstance(key, bytes) else key.encode())
    return JwtAuth(OneKey(path), rules(**more))


async def refusal(auth: JwtAuth, token: str) -> str:
    with pytest.raises(CommandError) as caught:
        await auth.admit(token)
    assert caught.value.code is ErrorCode.UNAUTHORIZED
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for part in filter(None, token.split(".")):
        assert part not in caught.value.message
    return caught.value.message


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def by_hand(header: Any, payload: Any, secret: bytes) -> str:
    """What no library would sign."""
    body = f"{part(header)}.{part(payload)}"
    tag = hmac.new(secret, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(tag).rstrip(b'=').decode()}"


async def test_every_algorithm_admits_whom_the_token_names(
    tmp_path: Path, rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    for key, shown, algorithm in (
        (SECRET, SECRET, "HS256"),
        (rsa_key, pem(rsa_key), "RS256"),
        (ec_key, pem(ec_key), "ES256"),
    ):
        admission = await auth(tmp_path, shown).admit(signed(key, algorithm))
        assert admission.principal == Principal("alice", "Alice")
        assert admission.expires == pytest.approx(time.time() + 90, abs=5)


async def test_an_admission_holds_until_the_token_expires_with_leeway(tmp_path: Path) -> None:
    checks = auth(tmp_path, leeway=30.0)
    admission = await checks.admit(signed(SECRET, "HS256", exp=time.time() - 20))
    assert checks.holds(admission)
    assert admission.expires is not None
    assert admission.expires < time.time() + 11
    assert not checks.holds(type(admission)(principal=admission.principal, expires=time.time() - 1))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"exp": 1}, "has expired"),
        ({"exp": None}, "lacks a claim"),
        ({"exp": "soon"}, "not one that this server trusts"),
        ({"nbf": 1 << 40}, "is not valid yet"),
        ({"iat": 1 << 40}, "is not valid yet"),
        ({"aud": "another"}, "another audience"),
        ({"aud": ["another", "third"]}, "another audience"),
        ({"aud": None}, "lacks a claim"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": None}, "lacks a claim"),
        ({"sub": None}, "lacks a claim"),
        ({"sub": ""}, "'sub'"),
        ({"sub": "a\nb"}, "'sub'"),
        ({"sub": "x" * 257}, "'sub'"),
    ],
)
async def test_what_a_token_claims_is_checked(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    assert words in await refusal(auth(tmp_path), signed(SECRET, "HS256", **more))


async def test_one_of_several_audiences_is_enough_and_a_far_expiry_is_one(tmp_path: Path) -> None:
    checks = auth(tmp_path)
    assert checks.holds(await checks.admit(signed(SECRET, "HS256", aud=["other", "livethread"], exp=10**300)))


async def test_a_token_for_somebody_is_refused_where_no_audience_is_wanted(tmp_path: Path) -> None:
    checks = auth(tmp_path, audience=None, issuer=None)
    assert "another audience" in await refusal(checks, signed(SECRET, "HS256"))
    assert (await checks.admit(signed(SECRET, "HS256", aud=None, iss=None))).principal.id == "alice"


async def test_a_name_that_cannot_be_shown_is_left_out(tmp_path: Path) -> None:
    for name in (None, "", "a\x1b[31m", 5, "x" * 300):
        admission = await auth(tmp_path).admit(signed(SECRET, "HS256", name=name))
        assert admission.principal == Principal("alice", "alice")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
async def test_a_token_without_a_signature_is_refused(tmp_path: Path, algorithm: str) -> None:
    bare = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}."
    for token in (bare, bare + "x", bare[:-1], by_hand({"alg": algorithm}, claims(), SECRET.encode())):
        await refusal(auth(tmp_path), token)


async def test_a_public_key_is_never_taken_for_a_shared_secret(
    tmp_path: Path, rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    for shown in (pem(rsa_key), pem(ec_key)):
        for secret in (shown, shown.strip(), shown.replace(b"\n", b"")):
            await refusal(auth(tmp_path, shown), by_hand({"alg": "HS256", "typ": "JWT"}, claims(), secret))
    listed = jwk(rsa_key, "RS256", kid="one")
    published = JwtAuth(KeySet(lambda: jwks(listed), secrets=True), rules())
    for secret in (pem(rsa_key), listed["n"].encode(), json.dumps(listed).encode()):
        await refusal(published, by_hand({"alg": "HS256", "kid": "one"}, claims(), secret))
        await refusal(published, by_hand({"alg": "RS256", "kid": "one"}, claims(), secret))


async def test_algorithms_that_are_not_taken_are_refused_though_the_signature_is_right(tmp_path: Path) -> None:
    assert "RS256, ES256" in await refusal(auth(tmp_path, algorithms=("RS256", "ES256")), signed(SECRET, "HS256"))
    await refusal(auth(tmp_path), jwt.encode(claims(), SECRET * 2, "HS512"))


async def test_another_key_or_a_changed_token_is_refused(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    checks = auth(tmp_path, pem(rsa_key))
    await refusal(checks, signed(other, "RS256"))
    header, _, tag = signed(rsa_key, "RS256").split(".")
    await refusal(checks, f"{header}.{part(claims(sub='eve'))}.{tag}")


async def test_a_token_that_names_no_key_is_tried_with_every_one(
    rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    listed = jwks(jwk(other, "RS256", kid="a"), jwk(rsa_key, "RS256", kid="b"), jwk(ec_key, "ES256", kid="c"))
    checks = JwtAuth(KeySet(lambda: listed, secrets=False), rules())
    for token in (signed(rsa_key, "RS256"), signed(rsa_key, "RS256", "b"), signed(ec_key, "ES256", "c")):
        assert (await checks.admit(token)).principal.id == "alice"
    await refusal(checks, signed(rsa_key, "RS256", "a"))
    await refusal(checks, signed(rsa_key, "RS256", "nobody"))


@pytest.mark.parametrize(
    "token",
    ["x", ".", "..", "a.b.c", "é.é.é", "[" * 16000, "." * 16000, part("x") + "..", part([1]) + "." + part({}) + ".x"],
)
async def test_what_is_no_token_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(CommandError) as caught:
        await auth(tmp_path).admit(token)
    assert caught.value.code is ErrorCode.UNAUTHORIZED


async def test_headers_that_ask_for_something_else_are_refused(tmp_path: Path) -> None:
    secret = SECRET.encode()
    deep: Any = json.loads("[" * 500 + "]" * 500)
    for header in (
        {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "kid": 5},
        {"alg": ["HS256"]},
        {"alg": None},
        {"typ": "JWT"},
        {"alg": "HS256", "crit": deep},
    ):
        await refusal(auth(tmp_path), by_hand(header, claims(), secret))
    # What a header points at is never fetched, nor what key it brings believed.
    for pointer in ({"jku": "http://127.0.0.1:1/"}, {"x5u": "http://127.0.0.1:1/"}, {"jwk": jwk("x" * 32, "HS256")}):
        await refusal(auth(tmp_path), by_hand({"alg": "HS256", **pointer}, claims(), b"x" * 32))
    payloads: tuple[Any, ...] = ([], "x", 5, None)
    for payload in payloads:
        await refusal(auth(tmp_path), by_hand({"alg": "HS256"}, payload, secret))
