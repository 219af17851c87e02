from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.engine.wire import Moved
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.house import Guest, House, closing

HELLO = [{"role": "user", "content": "Hello"}]


async def refused(guest: Guest, kind: type[wire.Command], **fields: object) -> CommandError:
    with pytest.raises(CommandError) as caught:
        await guest.ask(kind, **fields)
    return caught.value


async def test_warming_gives_the_engine_the_next_prompt_and_answers_where_it_is(house: House) -> None:
    guest = await house.listener(messages=HELLO)
    assert (await guest.ask(wire.Warm)).residency == "live"
    (warm,) = house.engine.warmed
    asked = await guest.ask(wire.Generate)
    assert warm.tokens == house.engine.submitted[asked.run].tokens
    assert (warm.thread, warm.tenant) == ("t", "alice")


async def test_there_is_nothing_to_warm_in_an_empty_thread(house: House) -> None:
    guest = await house.listener()
    assert (await guest.ask(wire.Warm)).residency == "cold"
    assert house.engine.warmed == []


async def test_a_context_that_a_run_uses_is_left_to_it(house: House) -> None:
    guest = await house.listener(messages=HELLO)
    await guest.ask(wire.Generate, run="r")
    house.live("t", 10)
    assert (await guest.ask(wire.Warm)).residency == "live"
    assert house.engine.warmed == []
    error = await refused(guest, wire.Evict)
    assert (error.code, error.details["runs"]) == (ErrorCode.BUSY, ["r"])


async def test_evicting_answers_where_the_context_is_in_the_end(house: House) -> None:
    guest = await house.listener(messages=HELLO)
    assert (await guest.ask(wire.Evict)).residency == "disk"
    house.engine.settles = "cold"
    assert (await guest.ask(wire.Evict)).residency == "cold"
    assert house.engine.evicted == ["t", "t"]


@pytest.mark.parametrize("kind", [wire.Warm, wire.Evict])
async def test_contexts_are_their_owners_and_need_an_engine(house: House, kind: type[wire.Command]) -> None:
    guest = await house.listener(messages=HELLO)
    assert (await refused(house.guest("eve"), kind)).code is ErrorCode.NOT_FOUND
    house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Try again.")
    assert (await refused(guest, kind)).code is ErrorCode.MODEL_LOADING


async def test_the_engine_hears_which_threads_are_pinned(house: House) -> None:
    guest = await house.listener(pinned=True)
    await guest.ask(wire.ThreadFork, new_thread="fork")
    assert house.engine.pinned == {"t": True, "fork": True}
    await guest.ask(wire.ThreadUpdate, pinned=False)
    await guest.ask(wire.ThreadUpdate, title="no word about pins")
    assert house.engine.pinned == {"t": False, "fork": True}


async def test_every_place_a_context_goes_to_is_told_and_shown(house: House) -> None:
    guest = await house.listener()
    for place in ("live", "ram", "disk", "cold"):
        house.residencies.moved(Moved("t", place, 10))
        await guest.next(wire.ThreadResidency, residency=place)
        assert (await guest.ask(wire.ThreadGet)).thread.residency == place


async def test_a_run_says_where_its_reused_tokens_came_from(house: House) -> None:
    guest = await house.listener(messages=HELLO)
    await guest.ask(wire.Generate, run="r")
    house.engine.start("r", reused=3)
    started = await guest.next(wire.RunStarted)
    assert (started.reused_tokens, started.sources.live, started.sources.disk, started.dropped) == (3, 3, 0, 0)


@pytest.fixture
async def prompting(vocabulary: Vocabulary, model_path: Path) -> AsyncIterator[House]:
    """A house whose operator has a system prompt, with a small context."""
    grammars = GrammarCheck(model_path)
    async for house in closing(House(MemoryStore(), vocabulary, grammars, system_prompt="Be kind.", context=64)):
        yield house


async def test_the_operators_system_prompt_comes_first_in_threads_that_bring_none(prompting: House) -> None:
    guest = await prompting.listener(messages=HELLO)
    got = (await guest.ask(wire.ThreadGet)).thread
    assert [(message.role, message.content) for message in got.messages] == [("system", "Be kind."), ("user", "Hello")]
    asked = await guest.ask(wire.Generate)
    submit = prompting.engine.submitted[asked.run]
    shared = prompting.vocabulary.text(submit.tokens[: submit.shared], special=True)
    assert shared.endswith("Be kind.")
    own = [{"role": "system", "content": "Be brief."}]
    made = await guest.ask(wire.ThreadCreate, thread="own", messages=own)
    assert [message.content for message in made.thread.messages] == ["Be brief."]


async def test_a_run_says_how_many_of_the_oldest_messages_were_left_out(prompting: House) -> None:
    said = [{"role": role, "content": "Something of some length."} for role in ("user", "assistant") * 5]
    guest = await prompting.listener(messages=[*said, *HELLO], overflow="drop_oldest")
    await guest.ask(wire.Generate, run="r")
    prompting.engine.start("r")
    dropped = (await guest.next(wire.RunStarted)).dropped
    assert dropped >= 6
    assert dropped % 2 == 0
    assert len((await guest.ask(wire.ThreadGet)).thread.messages) == 13


async def test_nothing_waits_for_runs_that_were_interrupted(house: House) -> None:
    guest = await house.listener(messages=HELLO)
    await guest.ask(wire.Generate, run="r")
    append = {"op": "append", "message": {"id": "m", "role": "user", "content": "and then"}}
    await guest.ask(wire.Mutate, ops=[append])
    assert house.contexts._later == {"t"}
    await guest.ask(wire.Mutate, ops=[{"op": "truncate", "after": None}], if_busy="interrupt")
    assert house.contexts._later == set()
