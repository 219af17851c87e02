"""Guests of a house who keep a copy of the thread ``t``, as a client does, and come back with it."""

from __future__ import annotations

from typing import Any

from livethread import messages as wire
from livethread.codec import JsonCodec, convert, to_reply
from livethread.messages import Reply, SubscribeOk
from livethread.resume import Replica, followed, joined, resumed, since_of
from tests.house import Guest, House


def travelled(ok: SubscribeOk) -> SubscribeOk:
    """The reply as it comes out of a frame at the client's end."""
    codec = JsonCodec()
    return convert(to_reply(codec.decode(codec.encode(Reply(id=1, ok=ok)))).ok, SubscribeOk)


class Copy:
    """``states`` are the copies after the subscription and after every frame behind it."""

    def __init__(self, guest: Guest, first: Replica, ok: SubscribeOk) -> None:
        self.guest = guest
        self.ok = ok
        self.states = [first]
        self._seen = len(guest.told)

    @property
    def now(self) -> Replica:
        """The copy as it is."""
        return self.states[-1]

    async def listen(self) -> Replica:
        """Take in everything that was told so far; the copy then."""
        told = await self.guest.heard()
        for event in told[self._seen :]:
            self.states.append(followed(self.now, event))
        self._seen = len(told)
        return self.now


async def a_copy(house: House, **fields: Any) -> Copy:
    """Somebody who subscribes for the first time."""
    guest = house.guest()
    ok = travelled(await guest.ask(wire.Subscribe, **fields))
    return Copy(guest, joined(ok), ok)


async def back(house: House, cut: Replica) -> Copy:
    """Somebody who was cut off with this copy, and comes back with it."""
    since = since_of(cut)
    guest = house.guest()
    ok = travelled(await guest.ask(wire.Subscribe, since=since))
    return Copy(guest, resumed(cut, ok), ok)
