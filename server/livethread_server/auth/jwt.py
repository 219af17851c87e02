"""``--auth jwt``: whoever brings a signed token of an issuer that the operator trusts (RFC 7519, RFC 8725).

The principal's id is the claim ``sub``, the name is ``name``. It must never know where keys come from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jwt
from msgspec import Struct

from livethread.errors import CommandError
from livethread.model import Principal
from livethread_server.auth.admission import Admission, is_principal, unauthorized
from livethread_server.auth.keys import Key, Keys

_LAST = 1 << 53
"""The latest second that an expiry is told apart from later ones."""
_WORDS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "has expired. Get a new one from its issuer",
    jwt.ImmatureSignatureError: "is not valid yet. Check the clocks",
    jwt.InvalidAudienceError: "is for another audience. Get one for this server",
    jwt.InvalidIssuerError: "is of another issuer. Get one from the issuer that this server trusts",
    jwt.MissingRequiredClaimError: "lacks a claim that this server wants, such as exp, sub, aud or iss",
}
"""What is said of a token whose signature is right."""


class JwtRules(Struct, frozen=True, kw_only=True):
    """What a token must keep to. ``audience`` and ``issuer``, where given, must be in it; ``leeway`` are seconds that
    clocks may differ by."""

    algorithms: Sequence[str]
    audience: str | None
    issuer: str | None
    leeway: float


class JwtAuth:
    """Checks tokens with the keys of an issuer."""

    def __init__(self, keys: Keys, rules: JwtRules) -> None:
        self._keys = keys
        self._rules = rules

    async def admit(self, token: str) -> Admission:
        kid, algorithm = _header(token)
        if algorithm not in self._rules.algorithms:
            raise unauthorized(
                f"This token is not signed as this server wants it. It takes {', '.join(self._rules.algorithms)}."
            )
        claims = self._verified(token, await self._keys.find(kid, algorithm))
        subject, name = claims["sub"], claims.get("name")
        if not is_principal(subject):
            raise unauthorized("The claim 'sub' of this token is no id of 1 to 256 characters that can be shown.")
        return Admission(
            principal=Principal(subject, name if is_principal(name) else subject),
            expires=min(int(claims["exp"]), _LAST) + self._rules.leeway,
        )

    def refresh(self) -> None:
        """Nothing: such a token cannot be revoked, it ends by itself."""

    def holds(self, admission: Admission) -> bool:
        return admission.expires is not None and admission.expires > time.time()

    def _verified(self, token: str, keys: Sequence[Key]) -> dict[str, Any]:
        for key in keys:
            try:
                return self._claims(token, key)
            except jwt.InvalidSignatureError:
                continue  # a token without a kid may be of any key
        raise _not_accepted()

    def _claims(self, token: str, key: Key) -> dict[str, Any]:
        needed = ["exp", "sub", *(["aud"] if self._rules.audience else []), *(["iss"] if self._rules.issuer else [])]
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                leeway=self._rules.leeway,
                options={"require": needed, "enforce_minimum_key_length": True},
            )
        except jwt.InvalidSignatureError:
            raise
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            words = _WORDS.get(type(error))
            raise (unauthorized(f"This token {words}.") if words else _not_accepted()) from None


def _header(token: str) -> tuple[str | None, str]:
    """The ``kid`` and ``alg`` that a token says; nothing of it is proved yet."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _not_accepted() from None
    kid, algorithm = header.get("kid"), header.get("alg")
    return (kid if isinstance(kid, str) else None), (algorithm if isinstance(algorithm, str) else "")


def _not_accepted() -> CommandError:
    return unauthorized("This token is not one that this server trusts. Get one from the issuer that it trusts.")
