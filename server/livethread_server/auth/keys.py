"""The keys that tokens of an issuer are checked with: from a file, or a JWKS (RFC 7517) from a file or a URL.

A key knows the one algorithm it is for, by its kind. So the token never has a say in how it is checked, and
a public key is never taken for a shared secret. This module must never know what tokens claim.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from msgspec import Struct

from livethread_server.settings import SettingsError, is_loopback

log = logging.getLogger(__name__)

ALGORITHMS = ("HS256", "RS256", "ES256")
SECRET_BYTES = 32
"""The shortest shared secret (RFC 7518, 3.2)."""
RSA_BITS = 2048
"""The shortest RSA key (RFC 7518, 3.3)."""
FRESH_SECONDS = 300.0
"""How long a JWKS is used before it is asked for again."""
PAUSE_SECONDS = 30.0
"""How long after it was asked for it is not asked again, whatever key a token names."""
RETRY_SECONDS = 2.0
"""How long after asking in vain, while there are no keys at all, it is asked again at the earliest."""
FETCH_SECONDS = 5.0
"""How long a JWKS may take to come."""
JWKS_BYTES = 1 << 20
"""The largest JWKS."""


class Key(Struct, frozen=True, eq=False):
    """A key, the algorithm that it is for, and its ``kid`` where it has one."""

    algorithm: str
    key: Any
    kid: str | None = None


class Keys(Protocol):
    """Where the keys for a token are looked up."""

    async def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        """The keys that a token with this header may have been signed with."""


class OneKey:
    """The key of a file: a PEM public key, or otherwise a shared secret. `SettingsError` where it is neither."""

    def __init__(self, path: Path) -> None:
        self.key = _key_of(path, _read(path))

    async def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        return (self.key,) if algorithm == self.key.algorithm else ()


class KeySet:
    """The keys of a JWKS, asked for again when they are old, or when a token names one that is not there."""

    def __init__(self, source: Callable[[], bytes], *, secrets: bool) -> None:
        self._source = source
        self._secrets = secrets
        self._keys: tuple[Key, ...] = ()
        self._asked: float | None = None
        self._asking = asyncio.Lock()

    async def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        fitting = self._fitting(kid, algorithm)
        pause = FRESH_SECONDS if fitting else PAUSE_SECONDS if self._keys else RETRY_SECONDS
        if self._age() > pause or (not fitting and self._asking.locked()):
            await self._ask(pause)
        return self._fitting(kid, algorithm)

    def load(self) -> None:
        """Read the keys now. `SettingsError` where there are none."""
        try:
            self._keys = _keys_in(self._source(), secrets=self._secrets)
        except (OSError, ValueError) as error:
            raise SettingsError(f"--jwt-jwks cannot be used: {error}.") from None
        self._asked = time.monotonic()

    def _age(self) -> float:
        return float("inf") if self._asked is None else time.monotonic() - self._asked

    def _fitting(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        return tuple(key for key in self._keys if key.algorithm == algorithm and _is_named(key, kid))

    async def _ask(self, pause: float) -> None:
        """Ask once, however many wait for it. Where nothing comes, the keys that there are go on to hold."""
        async with self._asking:
            if self._age() < min(pause, PAUSE_SECONDS):
                return
            self._asked = time.monotonic()
            try:
                self._keys = _keys_in(await asyncio.to_thread(self._source), secrets=self._secrets)
            except (OSError, ValueError, HTTPException) as error:
                log.warning("the keys of --jwt-jwks could not be read: %s", error)


def _is_named(key: Key, kid: str | None) -> bool:
    return kid is None or key.kid in (None, kid)


def key_set(where: str) -> KeySet:
    """The keys at a URL, asked for when they are needed, or in a file, read now. `SettingsError` where ``where`` is
    neither. Secrets are taken from files only: what is published is none."""
    if "://" not in where:
        found = KeySet(Path(where).read_bytes, secrets=True)
        found.load()
        return found
    parts = urlsplit(where)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise SettingsError(f"--jwt-jwks {where} is not safe from others on the way. Use an https:// URL, or a file.")
    return KeySet(lambda: _fetch(where), secrets=False)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keys come from the address that the operator named, or not at all."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _fetch(url: str) -> bytes:
    with urllib.request.build_opener(_NoRedirect).open(url, timeout=FETCH_SECONDS) as answer:
        content: bytes = answer.read(JWKS_BYTES + 1)
    if len(content) > JWKS_BYTES:
        raise ValueError(f"it has more than {JWKS_BYTES} bytes")
    return content


def _keys_in(content: bytes, *, secrets: bool) -> tuple[Key, ...]:
    """The keys of a JWKS that are for signatures of ours; `ValueError` where there are none."""
    try:
        found = list(json.loads(content)["keys"])
    except (TypeError, KeyError, RecursionError):
        raise ValueError("it is no JWKS") from None
    keys = tuple(
        Key(one.algorithm_name, one.key, one.key_id)
        for one in map(_jwk_in, found)
        if one is not None
        and one.algorithm_name in ALGORITHMS
        and one.public_key_use in ("sig", None)
        and (secrets or one.key_type != "oct")
    )
    if not keys:
        raise ValueError(f"it has no key for {', '.join(ALGORITHMS)}")
    return keys


def _jwk_in(found: Any) -> jwt.PyJWK | None:
    """A key of a JWKS; None where it is none that can be used, which spoils no other (RFC 7517, 5)."""
    try:
        return jwt.PyJWK(found)
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, AttributeError, KeyError):
        return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"--jwt-key {path} cannot be read: {error.strerror}.") from None


def _key_of(path: Path, content: bytes) -> Key:
    if b"-----BEGIN" in content:
        return _public_key(path, content)
    secret = content.strip(b"\r\n")
    if len(secret) < SECRET_BYTES:
        raise SettingsError(
            f"--jwt-key {path} holds a secret of {len(secret)} bytes. Use at least {SECRET_BYTES} random ones, or the "
            "issuer's public key in PEM."
        )
    return Key("HS256", secret)


def _public_key(path: Path, content: bytes) -> Key:
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, RSAPublicKey) and key.key_size >= RSA_BITS:
        return Key("RS256", key)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return Key("ES256", key)
    raise SettingsError(
        f"--jwt-key {path} is no public key in PEM of a kind that is taken: RSA of at least {RSA_BITS} bits, or "
        "P-256. Give the issuer's public key, never its private one."
    )
