from __future__ import annotations

import asyncio
import time

import pytest

from livethread.codec import JsonCodec
from livethread.errors import CloseCode, CommandError, ErrorCode
from livethread.model import Principal
from livethread_server.auth import gate as gates
from livethread_server.auth.admission import TOKEN_CHARACTERS, Admission, is_principal, unauthorized
from livethread_server.auth.gate import Gate
from livethread_server.outbox import Outbox
from livethread_server.session import ANYONE, Session


class Names:
    """Lets everybody in whose token is a name, until ``lasts`` or until the name is ``gone``."""

    def __init__(self, lasts: float | None = None) -> None:
        self.gone: set[str] = set()
        self._lasts = lasts

    async def admit(self, token: str) -> Admission:
        if not token.isalpha():
            raise unauthorized("That is no name.")
        expires = None if self._lasts is None else time.time() + self._lasts
        return Admission(principal=Principal(token, token), expires=expires)

    def refresh(self) -> None:
        pass

    def holds(self, admission: Admission) -> bool:
        late = admission.expires is not None and admission.expires <= time.time()
        return not late and admission.principal.id not in self.gone


def a_session() -> Session:
    return Session(Outbox(JsonCodec(), 1 << 16))


async def refused(gate: Gate, session: Session, token: str | None) -> str:
    with pytest.raises(CommandError) as caught:
        await gate.admit(session, token)
    assert caught.value.code is ErrorCode.UNAUTHORIZED
    return caught.value.message


async def test_without_authentication_everybody_comes_in_as_who_he_is() -> None:
    gate, session = Gate(), a_session()
    assert not gate.required
    await gate.admit(session, "anything")
    assert (session.principal, session.admission) == (ANYONE, None)
    assert gate.inside(ANYONE.id) == (session,)
    assert await gate.check(None) == ANYONE
    gate.leave(session)
    assert gate.inside(ANYONE.id) == ()


async def test_a_token_decides_who_a_session_is() -> None:
    gate, session = Gate(Names()), a_session()
    assert gate.required
    for token in (None, "", "1", "x" * (TOKEN_CHARACTERS + 1)):
        await refused(gate, session, token)
    assert (session.principal, gate.inside(ANYONE.id)) == (ANYONE, ())
    await gate.admit(session, "alice")
    assert session.principal == Principal("alice", "alice")
    assert gate.inside("alice") == (session,)
    assert await gate.check("bob") == Principal("bob", "bob")
    await gate.stop()


async def test_who_has_left_meanwhile_is_not_inside() -> None:
    gate, session = Gate(Names()), a_session()
    session.ended = True
    await gate.admit(session, "alice")
    assert gate.inside("alice") == ()
    await gate.stop()


async def closed(session: Session) -> CloseCode:
    happened = asyncio.Event()
    session.outbox.on_change = happened.set
    async with asyncio.timeout(10):
        while session.outbox.closed is None:
            await happened.wait()
    assert session.outbox.closed is not None
    return session.outbox.closed[0]


async def test_a_session_ends_when_its_token_does_and_no_other() -> None:
    names = Names(lasts=0.05)
    gate, short, long = Gate(names), a_session(), a_session()
    await gate.admit(short, "alice")
    names._lasts = None
    await gate.admit(long, "alice")
    assert await closed(short) is CloseCode.UNAUTHORIZED
    assert (gate.inside("alice"), long.outbox.closed) == ((long,), None)
    await gate.stop()


async def test_sessions_of_a_revoked_token_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "LOOK_SECONDS", 0.01)
    names = Names()
    gate, alice, bob = Gate(names), a_session(), a_session()
    await gate.admit(alice, "alice")
    await gate.admit(bob, "bob")
    names.gone.add("alice")
    assert await closed(alice) is CloseCode.UNAUTHORIZED
    assert bob.outbox.closed is None
    await gate.stop()


@pytest.mark.parametrize(
    ("text", "may"), [("alice", True), ("Ä b@c", True), ("", False), ("a\n", False), ("x" * 257, False), (5, False)]
)
def test_a_principal_is_a_short_text_that_can_be_shown(text: object, may: bool) -> None:
    assert is_principal(text) is may
