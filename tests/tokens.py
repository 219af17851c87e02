"""Tokens of every kind, for tests of who may come in."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from livethread_server.auth.digest import digest_of
from livethread_server.auth.token_file import TokenFile, TokenRecord, new_token

SECRET = "correct horse battery staple, 32+"


def given_out(path: Path, name: str, expires: float | None = None) -> str:
    """A token of a file, given out as ``livethread token new`` does."""
    token = new_token()
    record = TokenRecord(id=f"k_{name}", name=name, digest=digest_of(token), created=time.time(), expires=expires)
    TokenFile(path).change(lambda records: [*records, record])
    return token


def taken_back(path: Path, name: str) -> None:
    """Revoke all tokens of a name."""
    TokenFile(path).change(lambda records: [record for record in records if record.name != name])


def claims(**more: Any) -> dict[str, Any]:
    """What a good token claims, changed; a claim that is None is left out."""
    plain = {"sub": "alice", "name": "Alice", "aud": "livethread", "iss": "https://id.example", "exp": time.time() + 60}
    return {name: value for name, value in (plain | more).items() if value is not None}


def signed(key: Any, algorithm: str, kid: str | None = None, **more: Any) -> str:
    """A token with those claims."""
    return jwt.encode(claims(**more), key, algorithm, headers={"kid": kid} if kid else None)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """The public half of a key."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    """A key as a JWKS holds it: the public half, or a shared secret as it is."""
    kind = jwt.get_algorithm_by_name(algorithm)
    shown: Any = kind.to_jwk(key if isinstance(key, str) else key.public_key(), as_dict=True)
    return {**shown, **more}


def jwks(*keys: dict[str, Any]) -> bytes:
    """A JWKS of these keys."""
    return json.dumps({"keys": keys}).encode()
