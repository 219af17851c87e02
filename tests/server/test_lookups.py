from __future__ import annotations

import pytest

from livethread import messages as wire
from livethread.errors import CommandError
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
