from __future__ import annotations

import asyncio

import msgspec
import pytest

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread_server.ahead import WISHES, ReadAhead
from livethread_server.lanes import Lanes
from livethread_server.prompter import Prompter
from livethread_server.store.base import Turn
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.fakes import a_thread, a_turn
from tests.house import FakeEngine, Guest, House


def append(content: str, role: str = "user") -> dict[str, object]:
    return {"op": "append", "message": {"role": role, "content": content}}


async def told(house: House, count: int = 1) -> list[str]:
    """The texts that the engine was told to read, once there are ``count``, and no wish is left."""
    async with asyncio.timeout(10):
        while len(house.engine.ingested) < count or house.contexts.wishes:  # noqa: ASYNC110 - the loop is ours
            await asyncio.sleep(0.005)
    return [house.vocabulary.text(one.tokens, special=True) for one in house.engine.ingested]


async def settled(house: House) -> None:
    """Come back when there is no wish left."""
    async with asyncio.timeout(10):
        while house.contexts.wishes:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def next_prompt(house: House, guest: Guest, *ops: object) -> str:
    """The prompt of the next run."""
    asked = await guest.ask(wire.Generate, ops=list(ops))
    return house.vocabulary.text((await house.engine.taken(asked.run)).tokens, special=True)


async def test_a_mutation_of_a_subscribed_thread_is_read_before_anybody_asks(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Mutate, ops=[append("Hello")])
    (text,) = await told(house)
    assert house.engine.ingested[0].tenant == "alice"
    assert text == await next_prompt(house, guest)


async def test_a_thread_nobody_listens_to_is_not_read(house: House) -> None:
    guest = house.guest()
    await guest.ask(wire.ThreadCreate, thread="t")
    await guest.ask(wire.Mutate, ops=[append("Hello")])
    assert not house.contexts.wishes


async def test_a_burst_is_read_once(house: House) -> None:
    guest = await house.listener()
    for word in ("one", "two", "three"):
        await guest.ask(wire.Mutate, ops=[append(word)])
    (text,) = await told(house)
    assert "three" in text


async def test_behind_an_assistants_message_only_what_stays_is_read(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Mutate, ops=[append("Hello"), append("Good day.", "assistant")])
    (text,) = await told(house)
    assert text.endswith("Good day.")
    assert (await next_prompt(house, guest, append("Bye"))).startswith(text)


async def test_a_run_takes_the_place_of_reading_ahead(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Mutate, ops=[append("Hello")])
    await guest.ask(wire.Generate)
    await settled(house)
    assert house.engine.ingested == []
    await guest.ask(wire.Mutate, ops=[append("And then?")])
    await guest.ask(wire.ReadDraft, text="What")
    await settled(house)
    assert house.engine.ingested == []


async def test_what_was_appended_behind_a_reply_is_read_when_the_reply_is_there(house: House) -> None:
    guest = await house.listener(messages=[{"role": "user", "content": "Hello"}])
    await guest.ask(wire.Generate, run="r")
    await guest.ask(wire.Mutate, ops=[append("And then?")])
    assert not house.contexts.wishes
    house.engine.start("r")
    house.engine.say("r", "Good day.", (1,))
    house.engine.finish("r")
    await guest.next(wire.RunFinished)
    (text,) = await told(house)
    assert "Good day." in text
    assert "And then?" in text


async def test_a_draft_is_read_as_the_next_message_but_for_its_last_tokens(house: House) -> None:
    guest = await house.listener()
    draft = "Tell me about the great wall of China"
    await guest.ask(wire.ReadDraft, text=draft)
    (text,) = await told(house)
    assert text.rpartition("user\n")[2]
    assert draft.startswith(text.rpartition("user\n")[2])
    assert not text.endswith("China")
    assert (await next_prompt(house, guest, append(draft + ", please."))).startswith(text)
    assert await guest.heard() == [event for event in guest.told if isinstance(event, wire.ThreadMutated)]


async def test_an_empty_draft_reads_what_stands_before_it(house: House) -> None:
    guest = await house.listener(messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}])
    await guest.ask(wire.ReadDraft, text="")
    (text,) = await told(house)
    assert "Yes?" in text
    assert (await next_prompt(house, guest, append("No."))).startswith(text)


async def test_a_draft_is_never_kept(house: House) -> None:
    guest = await house.listener()
    before = await guest.ask(wire.ThreadGet)
    await guest.ask(wire.ReadDraft, text="secret")
    await told(house)
    assert await guest.ask(wire.ThreadGet) == before


async def test_a_draft_on_somebody_elses_thread_is_refused(house: House) -> None:
    await house.listener("alice")
    with pytest.raises(CommandError) as caught:
        await house.guest("eve").ask(wire.ReadDraft, text="x")
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_what_is_being_changed_is_looked_at_again(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Mutate, ops=[append("Hello")])
    async with house.lanes.hold("t", None):
        await asyncio.sleep(0.15)
        assert house.engine.ingested == []
        assert house.contexts.wishes
    await told(house)


async def test_a_deleted_thread_is_not_read(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Mutate, ops=[append("Hello")])
    await guest.ask(wire.ThreadDelete)
    await settled(house)
    assert (house.engine.ingested, house.engine.forgotten) == ([], ["t"])


async def test_a_prompt_that_does_not_fit_is_not_read_and_nobody_is_told(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Mutate, ops=[append("word " * 3000)])
    await settled(house)
    assert house.engine.ingested == []


async def test_nothing_is_read_while_the_engine_is_in_trouble(house: House) -> None:
    guest = await house.listener()
    house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Try again.")
    await guest.ask(wire.Mutate, ops=[append("Hello")])
    assert not house.contexts.wishes


async def test_wishes_are_bounded(house: House, vocabulary: Vocabulary) -> None:
    prompter = Prompter("smol", vocabulary, house.grammars, 64)
    ahead = ReadAhead(Lanes(MemoryStore(), 8), FakeEngine(), prompter)
    turns: tuple[Turn, ...] = (a_turn(1),)
    for number in range(WISHES + 5):
        ahead.want(msgspec.structs.replace(a_thread(), id=f"t{number}"), turns)
    assert ahead.wishes == WISHES
    await ahead.stop()
    assert ahead.wishes == 0
