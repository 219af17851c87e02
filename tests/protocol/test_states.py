"""Following whether there is a connection."""

from __future__ import annotations

import asyncio

from livethread.states import WAITING, ClientState, States


async def kinds(states: States) -> list[str]:
    return [state.kind async for state in states.follow()]


async def test_a_follower_gets_the_state_now_and_every_other_until_the_end() -> None:
    states = States()
    states.set(ClientState("open"))
    following = asyncio.create_task(kinds(states))
    await asyncio.sleep(0)
    for state in (ClientState("waiting", 0.5, 1, "cut"), ClientState("connecting"), ClientState("closed")):
        states.set(state)
    assert await following == ["open", "waiting", "connecting", "closed"]
    assert await kinds(states) == ["closed"]


async def test_a_follower_that_sleeps_misses_the_oldest() -> None:
    states = States()
    following = states.follow()
    await anext(following)
    for tries in range(WAITING + 10):
        states.set(ClientState("waiting", tries=tries))
    assert (await anext(following)).tries == 10
