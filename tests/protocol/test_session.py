"""One socket from its opening to its close."""

from __future__ import annotations

import asyncio

import pytest
import websockets
from websockets.frames import Close

from livethread import session
from livethread.backoff import may_return
from livethread.calls import Call
from livethread.codec import SUBPROTOCOL_MSGPACK
from livethread.errors import ConnectionClosed
from livethread.messages import Empty, Hello, Ping
from livethread.session import Answered, open_session
from tests.fake_server import fake_server


def test_a_dead_peer_is_noticed_within_thirty_seconds() -> None:
    assert session.PING_SECONDS + session.PONG_SECONDS + session.GOODBYE_SECONDS <= 30


@pytest.mark.parametrize(
    ("received", "sent", "code", "heals"),
    [
        (None, None, 1006, True),
        (None, Close(1011, "keepalive ping timeout"), 1006, True),
        (Close(4001, "back soon"), Close(4001, ""), 4001, True),
        (Close(4500, "no"), None, 4500, False),
        (None, Close(1009, "frame too big"), 1009, False),
        (Close(1000, ""), Close(1000, ""), 1000, False),
    ],
)
def test_how_a_connection_ended_says_whether_to_come_back(
    received: Close | None, sent: Close | None, code: int, heals: bool
) -> None:
    order = True if received and sent else None
    closed = session._closed(websockets.ConnectionClosed(received, sent, order))
    assert (closed.code, may_return(closed.code)) == (code, heals)


async def test_a_session_greets_answers_and_ends() -> None:
    async with fake_server() as server:
        one = await open_session(server.url, SUBPROTOCOL_MSGPACK)
        assert (await one.greet(Hello(id=0))).server == "fake"
        call = Call(Ping(id=0))
        await one.send(call)
        await one.room(2)
        waiting = asyncio.create_task(one.room(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        answered = await one.receive()
        await waiting
        assert isinstance(answered, Answered)
        assert (answered.call, answered.outcome) == (call, Empty())
        await one.close()
        for ended in (one.receive(), one.send(Call(Ping(id=0)))):
            with pytest.raises(ConnectionClosed):
                await ended
