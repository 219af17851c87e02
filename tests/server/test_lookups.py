from __future__ import annotations

import msgspec
import pytest

from livethread import messages as wire
from livethread.errors import CommandError
from livethread_server.lookups import EVENTS_AT_ONCE
from tests.house import House

HI = [{"op": "append", "message": {"role": "user", "content": "Hi.", "id": "m"}}]


async def test_a_run_is_found_as_it_is_now_by_who_may_see_it(house: House) -> None:
    alice, bob = await house.listener(), house.guest("bob")
    await alice.ask(wire.Generate, run="r", ops=HI)
    find = house.service.lookups.run
    assert (await find(alice.session, "r")).state == "queued"
    house.engine.start("r")
    await alice.next(wire.RunStarted)
    assert (await find(alice.session, "r")).state == "running"
    house.engine.finish("r")
    await alice.next(wire.RunFinished)
    assert (await find(alice.session, "r")).reason == "stop"
    sentences = []
    for session, run in ((bob.session, "r"), (alice.session, "x")):
        with pytest.raises(CommandError) as caught:
            await find(session, run)
        sentences.append(caught.value.message.replace(repr(run), "?"))
    assert sentences[0] == sentences[1]


async def test_the_end_of_a_run_is_found_as_it_was_told_among_whatever_happened_since(house: House) -> None:
    alice, find = await house.listener(), house.service.lookups.end
    assert await find("r") is None
    await alice.ask(wire.Generate, run="r", ops=HI)
    house.engine.start("r")
    await alice.next(wire.RunStarted)
    for number in range(EVENTS_AT_ONCE):
        await alice.ask(wire.ThreadUpdate, title=f"{number}")
    assert await find("r") is None
    house.engine.finish("r", "error", "The engine is broken.")
    finished = await alice.next(wire.RunFinished)
    await alice.ask(wire.ThreadUpdate, title="behind")
    told = await find("r")
    assert told is not None
    assert msgspec.json.decode(told, type=wire.RunFinished) == finished


async def test_a_message_is_found_in_its_thread(house: House) -> None:
    alice, bob = await house.listener(), house.guest("bob")
    await alice.ask(wire.Mutate, ops=HI)
    find = house.service.lookups.message
    message, thread = await find(alice.session, "t", "m")
    assert message is not None
    assert (message.content, thread.version) == ("Hi.", 1)
    assert (await find(alice.session, "t", "x"))[0] is None
    with pytest.raises(CommandError, match="no thread"):
        await find(bob.session, "t", "m")
