from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from livethread_server.auth.choice import authenticator
from livethread_server.auth.jwt import JwtAuth
from livethread_server.auth.tokens import TokenAuth
from livethread_server.settings import SettingsError
from tests.fakes import settings
from tests.tokens import SECRET, given_out, jwk, jwks, pem, signed


def test_without_auth_nobody_is_asked() -> None:
    assert authenticator(settings()) is None


async def test_tokens_are_in_the_state_folder_or_where_the_settings_say(tmp_path: Path) -> None:
    inside = given_out(tmp_path / "tokens.json", "alice")
    other = given_out(tmp_path / "other", "bob")
    for file, token, name in ((None, inside, "alice"), (tmp_path / "other", other, "bob")):
        auth = authenticator(settings(auth="token", state_dir=tmp_path, auth_tokens=file))
        assert isinstance(auth, TokenAuth)
        assert (await auth.admit(token)).principal.id == name


async def test_jwts_are_checked_with_a_key_or_a_set_of_keys(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    key, listed = tmp_path / "key.pem", tmp_path / "keys.json"
    key.write_bytes(pem(rsa_key))
    listed.write_bytes(jwks(jwk(rsa_key, "RS256", kid="one")))
    for keys in ({"jwt_key": key}, {"jwt_jwks": str(listed)}):
        auth = authenticator(settings(auth="jwt", jwt_audience="livethread", **keys))
        assert isinstance(auth, JwtAuth)
        assert (await auth.admit(signed(rsa_key, "RS256"))).principal.name == "Alice"


def test_a_key_whose_algorithm_is_not_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    with pytest.raises(SettingsError, match="is for HS256, which --jwt-algorithms leaves out"):
        authenticator(settings(auth="jwt", jwt_key=tmp_path / "secret", jwt_algorithms=("RS256",)))
