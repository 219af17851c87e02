"""Which way of proving who one is the settings choose.

It must never know how any of them works.
"""

from __future__ import annotations

from livethread_server.auth.admission import Authenticator
from livethread_server.auth.jwt import JwtAuth, JwtRules
from livethread_server.auth.keys import Keys, OneKey, key_set
from livethread_server.auth.token_file import TokenFile
from livethread_server.auth.tokens import TokenAuth
from livethread_server.settings import Settings, SettingsError


def authenticator(settings: Settings) -> Authenticator | None:
    """What ``--auth`` names; None where everybody may come in. `SettingsError` where it cannot work."""
    if settings.auth == "token":
        return TokenAuth(TokenFile(settings.token_file))
    if settings.auth == "jwt":
        rules = JwtRules(
            algorithms=settings.jwt_algorithms,
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            leeway=settings.jwt_leeway,
        )
        return JwtAuth(_keys(settings), rules)
    return None


def _keys(settings: Settings) -> Keys:
    if settings.jwt_key is not None:
        found = OneKey(settings.jwt_key)
        if found.key.algorithm not in settings.jwt_algorithms:
            raise SettingsError(
                f"--jwt-key {settings.jwt_key} is for {found.key.algorithm}, which --jwt-algorithms leaves out. "
                "Add it there, or give another key."
            )
        return found
    assert settings.jwt_jwks is not None, "Settings.check sees to one of the two"
    return key_set(settings.jwt_jwks)
