from __future__ import annotations

import time
from pathlib import Path

import pytest

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal
from livethread_server.auth.token_file import TokenFile
from livethread_server.auth.tokens import TokenAuth
from livethread_server.settings import SettingsError
from tests.tokens import given_out, taken_back


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def allow(path: Path, mode: int) -> None:
    """Change who may use a file."""
    path.chmod(mode)


def replaced(path: Path, content: bytes) -> bytes:
    """Write something else into a file, or with nothing remove it; what was in it."""
    was = path.read_bytes()
    if content:
        path.write_bytes(content)
    else:
        path.unlink()
    return was


async def refusal(auth: TokenAuth, token: str) -> str:
    with pytest.raises(CommandError) as caught:
        await auth.admit(token)
    assert caught.value.code is ErrorCode.UNAUTHORIZED
    return caught.value.message


async def test_a_token_admits_whom_it_names(path: Path) -> None:
    alice, bob = given_out(path, "alice"), given_out(path, "bob@example.org")
    auth = TokenAuth(TokenFile(path))
    assert (await auth.admit(alice)).principal == Principal("alice", "alice")
    admission = await auth.admit(bob)
    assert admission.principal.id == "bob@example.org"
    assert auth.holds(admission)
    assert bob not in repr(admission)


async def test_a_token_that_is_not_there_is_refused_and_not_repeated(path: Path) -> None:
    token = given_out(path, "alice")
    auth = TokenAuth(TokenFile(path))
    for wrong in (token[:-1], token + "x", token.upper(), "", "é\udce9", "x" * 16384):
        said = await refusal(auth, wrong)
        assert "was revoked" in said
        assert not wrong or wrong[:8] not in said


async def test_tokens_given_out_and_revoked_while_the_server_runs_are_heard_of(path: Path) -> None:
    auth = TokenAuth(TokenFile(path))
    token = given_out(path, "alice")
    admission = await auth.admit(token)
    taken_back(path, "alice")
    auth.refresh()
    assert not auth.holds(admission)
    await refusal(auth, token)
    replaced(path, b"")
    await refusal(auth, token)


def test_a_server_that_nobody_has_a_token_for_says_so(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    TokenAuth(TokenFile(path))
    assert "livethread token new" in caplog.text


async def test_an_expired_token_says_so(path: Path) -> None:
    soon = given_out(path, "alice", time.time() + 60)
    late = given_out(path, "bob", time.time() - 1)
    auth = TokenAuth(TokenFile(path))
    assert "has expired" in await refusal(auth, late)
    assert auth.holds(await auth.admit(soon))


async def test_a_file_that_is_spoilt_lets_nobody_new_in_and_throws_nobody_out(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = given_out(path, "alice")
    auth = TokenAuth(TokenFile(path))
    admission = await auth.admit(token)
    good = replaced(path, b"{")
    await refusal(auth, token)
    assert auth.holds(admission)
    assert "nobody new comes in" in caplog.text
    assert token not in caplog.text
    replaced(path, good)
    assert (await auth.admit(token)).principal.id == "alice"


def test_a_file_that_is_spoilt_at_the_start_is_refused(path: Path) -> None:
    path.write_text("{")
    path.chmod(0o600)
    with pytest.raises(SettingsError):
        TokenAuth(TokenFile(path))


async def test_rights_that_are_put_right_are_noticed(path: Path) -> None:
    token = given_out(path, "alice")
    auth = TokenAuth(TokenFile(path))
    allow(path, 0o622)
    await refusal(auth, token)
    allow(path, 0o600)
    assert (await auth.admit(token)).principal.id == "alice"


async def test_a_file_that_cannot_be_found_lets_nobody_new_in_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, aside = tmp_path / "state", tmp_path / "aside"
    token = given_out(folder / "tokens.json", "alice")
    auth = TokenAuth(TokenFile(folder / "tokens.json"))
    admission = await auth.admit(token)
    folder.rename(aside)
    folder.write_text("no folder")
    for _ in range(3):
        await refusal(auth, token)
    assert auth.holds(admission)
    assert caplog.text.count("nobody new comes in") == 1
    folder.unlink()
    await refusal(auth, token)
    assert not auth.holds(admission)
    aside.rename(folder)
    assert auth.holds(await auth.admit(token))
