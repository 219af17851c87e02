from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.embedding import SUSPECT, Embeddings, Rows, Text
from livethread_server.engine.wire import CancelEmbed, Embed, Embedded, EmbedEnded, Pooling, Ready

READY = Ready(
    context=100,
    trained_context=100,
    sequences=1,
    cells=100,
    vocabulary=1000,
    description="",
    cuttable=True,
    dimensions=2,
    pooling="mean",
    embed_tokens=10,
)
MOST = 8


class Process:
    """What the engine process is given, and what it says."""

    def __init__(self) -> None:
        self.got: list[Embed | CancelEmbed] = []
        self.runs = SimpleNamespace(given=False, isolating=False)
        self.embeddings = Embeddings(self.got.append, MOST, self.runs)
        self.embeddings.opened()

    def ask(
        self, *texts: Text, pooling: Pooling = "mean", ready: Ready = READY, tenant: str = ""
    ) -> asyncio.Task[list[tuple[int, Rows]]]:
        async def all_of() -> list[tuple[int, Rows]]:
            return [found async for found in self.embeddings.vectors(texts, pooling, ready, tenant)]

        return asyncio.ensure_future(all_of())

    def say(self, ask: int, index: int, *row: float) -> None:
        """A text's only vector."""
        self.embeddings.heard(Embedded(ask, index, np.array(row, "<f4").tobytes(), 1))

    def asks(self) -> list[tuple[int, tuple[Text, ...]]]:
        """What it was asked since the last call."""
        asks = [(one.ask, one.texts) for one in self.got if isinstance(one, Embed)]
        self.got.clear()
        return asks


@pytest.fixture
async def process() -> Process:
    return Process()


async def turn() -> None:
    """Let everybody go on as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


def told(found: list[tuple[int, Rows]]) -> list[tuple[int, list[list[float]]]]:
    return [(index, rows.tolist()) for index, rows in found]


async def refusal(asked: asyncio.Task[Any]) -> CommandError:
    with pytest.raises(CommandError) as refused:
        await asyncio.wait_for(asked, 5)
    return refused.value


async def test_each_text_has_its_vector(process: Process) -> None:
    asked = process.ask((1, 2), (3,))
    await turn()
    assert process.got == [Embed(ask=0, texts=((1, 2), (3,)), pooling="mean")]
    assert process.embeddings.pending
    process.say(0, 0, 1.5, 2)
    process.say(0, 1, 3, 4)
    process.embeddings.heard(EmbedEnded(0))
    assert told(await asked) == [(0, [[1.5, 2]]), (1, [[3, 4]])]
    assert not process.embeddings.pending
    assert len(process.got) == 1


async def test_who_goes_away_has_the_rest_cancelled(process: Process) -> None:
    asked = process.ask((1,), (2,))
    await turn()
    process.say(0, 0, 1, 2)
    asked.cancel()
    await asyncio.wait([asked])
    assert process.got[1:] == [CancelEmbed(0)]
    process.say(0, 1, 1, 2)
    process.embeddings.heard(EmbedEnded(0, cancelled=True))
    assert not process.embeddings.pending


async def test_more_than_may_wait_is_refused_until_there_is_room(process: Process) -> None:
    first = process.ask(*[(1,)] * 6)
    await turn()
    error = await refusal(process.ask(*[(1,)] * 3))
    assert (error.code, error.details) == (ErrorCode.QUEUE_FULL, {"queued_vectors": MOST})
    assert "6 vectors are being waited for" in str(error)
    first.cancel()
    await asyncio.wait([first])
    process.got.clear()
    again = process.ask(*[(1,)] * 8)
    await turn()
    assert len(process.asks()) == 1
    again.cancel()
    await asyncio.wait([again])


async def test_who_waits_for_all_that_he_may_leaves_others_as_much(process: Process) -> None:
    asked = [process.ask(*[(1,)] * count, tenant=tenant) for tenant, count in (("a", 8), ("b", 4), ("c", 2))]
    await turn()
    assert [one.tenant for one in process.got if isinstance(one, Embed)] == ["a", "b", "c"]
    for tenant, count in (("a", 1), ("b", 1), ("d", 2)):
        assert (await refusal(process.ask(*[(1,)] * count, tenant=tenant))).code == ErrorCode.QUEUE_FULL
    for one in asked:
        one.cancel()
    await asyncio.wait(asked)


async def test_what_would_never_have_room_is_refused_for_good(process: Process) -> None:
    error = await refusal(process.ask(*[(1,)] * 9))
    assert (error.code, error.details) == (ErrorCode.TOO_LARGE, {"queued_vectors": MOST})
    error = await refusal(process.ask((1,) * 9, pooling="none"))
    assert error.code == ErrorCode.TOO_LARGE
    assert process.got == []


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ((), ErrorCode.BAD_REQUEST, "Text 1 has no tokens"),
        ((1,) * 11, ErrorCode.CONTEXT_OVERFLOW, "Text 1 has 11 tokens; the model embeds 10"),
        ((1000,), ErrorCode.BAD_REQUEST, "outside the vocabulary"),
        ((-1,), ErrorCode.BAD_REQUEST, "outside the vocabulary"),
    ],
)
async def test_a_text_that_cannot_be_embedded_is_refused(
    process: Process, text: Text, code: ErrorCode, sentence: str
) -> None:
    error = await refusal(process.ask((1,), text))
    assert error.code == code
    assert sentence in str(error)
    assert process.got == []


async def test_what_the_model_cannot_do_is_refused(process: Process) -> None:
    error = await refusal(process.ask((1,), pooling="rank"))
    assert (error.code, "no head that ranks" in str(error)) == (ErrorCode.UNSUPPORTED, True)
    error = await refusal(process.ask((1,), ready=msgspec.structs.replace(READY, dimensions=0)))
    assert (error.code, "no vectors" in str(error)) == (ErrorCode.UNSUPPORTED, True)


async def test_what_the_process_could_not_do_is_told(process: Process) -> None:
    asked = process.ask((1,))
    await turn()
    process.embeddings.heard(EmbedEnded(0, "The engine could not embed: it is full. Try again."))
    error = await refusal(asked)
    assert (error.code, "it is full" in str(error)) == (ErrorCode.INTERNAL, True)


async def test_the_next_process_is_asked_for_what_the_last_one_had_not_answered(process: Process) -> None:
    asked = process.ask((1,), (2,), (3,))
    await turn()
    process.say(0, 0, 1, 1)
    process.embeddings.died("The engine died.")
    process.asks()
    assert not process.embeddings.pending
    late = process.ask((4,))
    await turn()
    assert process.got == []
    process.embeddings.opened()
    assert process.asks() == [(0, ((2,), (3,))), (1, ((4,),))]
    process.say(0, 0, 2, 2)
    process.say(1, 0, 4, 4)
    process.say(0, 1, 3, 3)
    assert told(await asked) == [(0, [[1, 1]]), (1, [[2, 2]]), (2, [[3, 3]])]
    assert told(await late) == [(0, [[4, 4]])]


def die(process: Process, times: int = 1) -> None:
    """The process dies so often, each time with what it was given."""
    for _ in range(times):
        process.embeddings.died("The engine died.")
        process.asks()
        process.embeddings.opened()


async def test_of_those_it_died_with_often_the_next_process_gets_one_after_the_other(process: Process) -> None:
    asked = [process.ask((number,)) for number in (1, 2)]
    await turn()
    die(process)
    assert process.asks() == [(0, ((1,),)), (1, ((2,),))]
    die(process, SUSPECT - 1)
    assert process.asks() == [(0, ((1,),))]
    late = process.ask((3,))
    await turn()
    assert process.embeddings.isolating
    process.say(0, 0, 1, 1)
    process.embeddings.heard(EmbedEnded(0))
    await asked[0]
    assert process.asks() == [(1, ((2,),))]
    process.say(1, 0, 2, 2)
    assert not process.embeddings.isolating
    assert process.asks() == [(2, ((3,),))]
    process.say(2, 0, 3, 3)
    await asyncio.gather(asked[1], late)


async def test_a_text_that_kills_is_given_up_and_the_others_are_answered(process: Process) -> None:
    poison, other = process.ask((1,)), process.ask((2,))
    await turn()
    die(process, SUSPECT + 1)
    assert process.asks() == [(1, ((2,),))]
    error = await refusal(poison)
    assert (error.code, "had died with these texts before" in str(error)) == (ErrorCode.INTERNAL, True)
    process.say(1, 0, 2, 2)
    assert told(await other) == [(0, [[2, 2]])]


async def test_what_runs_do_is_not_held_against_texts_beside_them(process: Process) -> None:
    process.runs.given = True
    asked = process.ask((1,))
    await turn()
    die(process, SUSPECT)
    assert process.asks() == []
    process.embeddings.pump()
    assert process.asks() == []
    process.runs.given = False
    process.embeddings.pump()
    assert process.asks() == [(0, ((1,),))]
    process.say(0, 0, 1, 1)
    await asked


async def test_nothing_is_asked_beside_a_run_that_must_be_alone(process: Process) -> None:
    process.runs.isolating = True
    asked = process.ask((1,))
    await turn()
    assert process.asks() == []
    process.runs.isolating = False
    process.embeddings.pump()
    process.say(0, 0, 1, 1)
    await asked


async def test_what_was_given_up_is_in_the_process_until_it_says_that_it_has_stopped(process: Process) -> None:
    asked = process.ask((1,), (2,))
    await turn()
    asked.cancel()
    await asyncio.wait([asked])
    rooms: list[None] = []
    process.embeddings.on_room = lambda: rooms.append(None)
    assert process.embeddings.pending
    process.embeddings.heard(EmbedEnded(0, cancelled=True))
    assert (process.embeddings.pending, len(rooms)) == (False, 1)


async def test_an_answer_in_between_forgives_a_death(process: Process) -> None:
    asked = process.ask((1,), (2,), (3,))
    await turn()
    for index in range(2):
        process.embeddings.died("The engine died.")
        process.embeddings.opened()
        process.say(0, 0, index, index)
    process.embeddings.died("The engine died.")
    process.embeddings.opened()
    process.say(0, 0, 2, 2)
    assert [index for index, _ in await asked] == [0, 1, 2]


async def test_nobody_waits_once_nothing_will_come(process: Process) -> None:
    asked = process.ask((1,))
    await turn()
    process.embeddings.end_all("The server is shutting down.", ErrorCode.MODEL_UNAVAILABLE)
    error = await refusal(asked)
    assert (error.code, "is shutting down" in str(error)) == (ErrorCode.MODEL_UNAVAILABLE, True)
