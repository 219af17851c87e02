"""The life of tasks, over an engine whose words the test gives."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from livethread.errors import CommandError, ErrorCode
from livethread.model import Principal
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.tasks.bounds import TaskBounds
from livethread_server.tasks.kind import Abilities, Bench
from livethread_server.tasks.live_task import LiveTask
from livethread_server.vocabulary import Vocabulary
from tests.house import House, closing

ALICE, BOB = Principal("alice", "Alice"), Principal("bob", "Bob")
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi."}]}
NO_SCHEMA = {"type": "nonsense"}
BOUNDS = TaskBounds(task_results=600.0, tasks_kept=2, task_result_bytes=100_000, tasks_per_principal=3)


class Wait(Struct, frozen=True, forbid_unknown_fields=True):
    """What the kind below takes and gives."""

    size: int = 0
    fail: str = ""


class Load:
    """What a task has in its hands while it is carried out."""


class Waiting:
    """A kind that says how far it is when the test lets it, and ends when the test lets it."""

    name = "waiting"
    summary = "Wait for the test."
    Input = Wait
    Result = Wait

    def __init__(self) -> None:
        self.go, self.cancelled = asyncio.Event(), False
        self.loads: weakref.WeakSet[Load] = weakref.WeakSet()

    def refusal(self, abilities: Abilities) -> str | None:
        return None if abilities.generates else "It cannot. Serve another model."

    async def run(self, asked: Wait, bench: Bench) -> Wait:
        load = Load()
        self.loads.add(load)
        bench.report.progress("items", 1, 2)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if asked.fail:
            raise {"bad": CommandError(ErrorCode.BAD_REQUEST, "It is bad.")}.get(asked.fail, ValueError(asked.fail))
        return Wait(fail="x" * asked.size)


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
async def small(vocabulary: Vocabulary, model_path: Path, waiting: Waiting) -> AsyncIterator[House]:
    """A house with narrow bounds, and a kind that waits."""
    grammars = GrammarCheck(model_path)
    house = House(MemoryStore(), vocabulary, grammars, task_bounds=BOUNDS, kinds=(waiting,))
    async for one in closing(house):
        yield one


def format_of(kind: str, **fields: Any) -> dict[str, Any]:
    return CHAT | {"response_format": {"type": kind, **fields}}


async def refused(code: ErrorCode, house: House, *asked: Any, **more: Any) -> CommandError:
    with pytest.raises(CommandError) as caught:
        await house.tasks.create(ALICE, *asked, **more)
    assert caught.value.code is code
    assert str(caught.value).endswith(".")
    return caught.value


async def begun(house: House, **more: Any) -> LiveTask:
    return await house.tasks.create(ALICE, "waiting", Wait(**more))


async def test_a_task_waits_for_the_engine_then_runs_then_is_done(house: House) -> None:
    live = await house.tasks.create(ALICE, "chat-completion", CHAT)
    assert live.shown().state == "queued"
    (run,) = house.engine.unfinished
    house.engine.start(run, reused=8)
    house.engine.progress(run, 24, 32)
    await asyncio.sleep(0.01)
    shown = live.shown()
    assert (shown.state, shown.progress) == ("running", live.shown().progress)
    house.engine.say(run, "Hello", (1, 2))
    house.engine.finish(run)
    task = await live.ended()
    assert (task.state, task.instance, task.model, task.by) == ("done", "i_1", "smol", ALICE)
    assert task.created_at <= (task.started_at or "") <= (task.finished_at or "") < (task.expires_at or "")
    assert (task.result.choices[0].content, task.result.choices[0].reason) == ("Hello", "stop")
    assert task.usage == task.result.usage
    assert task.usage is not None
    assert (task.usage.reused_tokens, task.usage.completion_tokens) == (8, 2)
    submit = house.engine.submitted[run]
    assert (submit.side, submit.thread[0], submit.tenant) == (True, "~", "alice")


async def test_its_place_in_the_queue_is_shown(vocabulary: Vocabulary, model_path: Path) -> None:
    async for house in closing(House(MemoryStore(), vocabulary, GrammarCheck(model_path), room=1)):
        await house.tasks.create(ALICE, "chat-completion", CHAT)
        second = await house.tasks.create(ALICE, "chat-completion", CHAT)
        third = await house.tasks.create(ALICE, "chat-completion", CHAT)
        assert [second.shown().position, third.shown().position] == [1, 2]


async def test_who_listens_late_hears_everything_and_who_is_slow_hears_it_in_one(house: House) -> None:
    live = await house.tasks.create(ALICE, "chat-completion", CHAT | {"n": 2})
    first, second = house.engine.unfinished
    slow = live.news()
    for text, token in (("a", 1), ("b", 2), ("c", 3)):
        house.engine.say(first, text, (token,))
        await asyncio.sleep(0.005)
    heard = await anext(slow)
    assert (heard.choice, heard.start, heard.to, heard.text, heard.tokens) == (0, 0, 3, "abc", (1, 2, 3))
    house.engine.say(second, "z", (26,))
    assert await anext(slow) == msgspec.structs.replace(heard, choice=1, to=1, text="z", tokens=(26,))
    for run in (first, second):
        house.engine.finish(run)
    await live.ended()
    assert [one async for one in slow] == []
    assert [(one.choice, one.text) async for one in live.news()] == [(0, "abc"), (1, "z")]


async def test_choices_are_drawn_with_seeds_of_their_own(house: House) -> None:
    live = await house.tasks.create(ALICE, "chat-completion", CHAT | {"n": 3, "seed": (1 << 32) - 3})
    submits = [house.engine.submitted[run] for run in house.engine.unfinished]
    assert [submit.sampling.seed for submit in submits] == [(1 << 32) - 3, (1 << 32) - 2, 0]
    assert len({submit.thread for submit in submits}) == 1
    for run, reused in zip(house.engine.unfinished, (5, 30, 30), strict=True):
        house.engine.start(run, reused=reused)
        house.engine.say(run, run, (1,))
        house.engine.finish(run)
    result = (await live.ended()).result
    assert [choice.seed for choice in result.choices] == [submit.sampling.seed for submit in submits]
    assert (result.usage.reused_tokens, result.usage.completion_tokens) == (5, 3)


async def test_cancel_ends_it_at_once_and_its_runs_with_it_and_may_be_repeated(house: House) -> None:
    live = await house.tasks.create(ALICE, "chat-completion", CHAT | {"n": 2})
    runs = house.engine.unfinished
    assert house.tasks.cancel(ALICE, live.id).state == "cancelled"
    task = await live.ended()
    assert (task.state, task.reason, task.result) == ("cancelled", "cancelled", None)
    while house.engine.unfinished:  # noqa: ASYNC110 - within a few turns of the loop
        await asyncio.sleep(0)
    assert set(house.engine.cancelled) >= set(runs)
    assert house.tasks.cancel(ALICE, live.id).state == "cancelled"


async def test_a_done_task_stays_done_when_it_is_cancelled(house: House) -> None:
    live = await house.tasks.create(ALICE, "tokenize", {"content": "Hi."})
    assert live.state == "done"
    assert house.tasks.cancel(ALICE, live.id).state == "done"


async def test_what_is_done_had_begun_even_if_it_never_waited(house: House) -> None:
    task = (await house.tasks.create(ALICE, "tokenize", {"content": "Hi."})).shown()
    assert task.created_at <= (task.started_at or "") <= (task.finished_at or "")


async def test_its_time_ends_it(small: House, waiting: Waiting) -> None:
    live = await small.tasks.create(ALICE, "waiting", Wait(), timeout_ms=5)
    task = await live.ended()
    assert (task.state, task.reason, task.timeout_ms) == ("cancelled", "timeout", 5)
    await asyncio.sleep(0)
    assert waiting.cancelled


async def test_what_a_cancelled_task_worked_on_goes_while_the_task_is_kept(small: House, waiting: Waiting) -> None:
    live = await begun(small)
    assert len(waiting.loads) == 1
    small.tasks.cancel(ALICE, live.id)
    while live.work is not None:  # noqa: ASYNC110 - within a few turns of the loop
        await asyncio.sleep(0)
    gc.collect()
    assert len(waiting.loads) == 0
    assert await small.tasks.get(ALICE, live.id) is live


async def test_what_is_wrong_before_it_is_taken_is_a_refusal_and_leaves_nothing(house: House) -> None:
    for kind, asked, field in (
        ("nothing", {}, "kind"),
        ("chat-completion", {"messages": []}, "messages"),
        ("chat-completion", CHAT | {"nonsense": 1}, "nonsense"),
        ("chat-completion", CHAT | {"continue_final_message": True}, "continue_final_message"),
        ("chat-completion", CHAT | {"n_predict": 3, "max_tokens": 3}, "n_predict"),
        ("chat-completion", CHAT | {"grammar": 'root ::= "a'}, "grammar"),
        ("chat-completion", CHAT | {"logit_bias": {"99999999": 1}}, "logit_bias"),
        ("chat-completion", CHAT | {"repeat_last_n": 3000}, "repeat_last_n"),
        ("chat-completion", CHAT | {"json_schema": NO_SCHEMA}, "json_schema"),
        ("chat-completion", format_of("grammar", grammar="root ::= missing"), "response_format.grammar"),
        ("chat-completion", format_of("json_object", schema=NO_SCHEMA), "response_format.schema"),
        (
            "chat-completion",
            format_of("json_schema", json_schema={"schema": NO_SCHEMA}),
            "response_format.json_schema.schema",
        ),
        ("detokenize", {"tokens": [1 << 30]}, "tokens"),
        ("count-tokens", {}, "content"),
    ):
        error = await refused(ErrorCode.BAD_REQUEST, house, kind, asked)
        assert error.details["field"] == field
        assert "sampling." not in error.message
    long = {"messages": [{"role": "user", "content": "word " * 3000}]}
    error = await refused(ErrorCode.CONTEXT_OVERFLOW, house, "chat-completion", long)
    assert error.details["prompt_tokens"] > error.details["context_tokens"]
    house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Wait.")
    await refused(ErrorCode.MODEL_LOADING, house, "chat-completion", CHAT)
    assert house.tasks.list(ALICE).tasks == ()


async def test_what_the_model_cannot_do_is_unsupported_with_the_reason(small: House, house: House) -> None:
    error = await refused(ErrorCode.UNSUPPORTED, house, "rerank", {"query": "a", "documents": ["b"]})
    assert "reranker" in error.message
    error = await refused(ErrorCode.UNSUPPORTED, house, "text-completion", {"prompt": "a", "input_suffix": "b"})
    assert "input_suffix" in error.message
    assert small.engine.ready is not None
    small.engine.ready = msgspec.structs.replace(small.engine.ready, generates=False)
    await refused(ErrorCode.UNSUPPORTED, small, "waiting", Wait())


async def test_nobody_can_tell_what_a_model_can_do_that_was_never_ready(house: House) -> None:
    house.engine.ready = None
    await refused(ErrorCode.MODEL_LOADING, house, "tokenize", {"content": "a"})


async def test_a_failure_behind_that_is_the_tasks(small: House, waiting: Waiting) -> None:
    bad, broken = await begun(small, fail="bad"), await begun(small, fail="?")
    waiting.go.set()
    ends = [await bad.ended(), await broken.ended()]
    assert [(end.state, end.reason) for end in ends] == [("failed", "error")] * 2
    assert [end.error.code for end in ends if end.error] == ["bad_request", "internal"]


async def test_a_run_that_fails_fails_the_task_and_ends_the_other_choices(house: House) -> None:
    live = await house.tasks.create(ALICE, "chat-completion", CHAT | {"n": 2})
    first, second = house.engine.unfinished
    house.engine.finish(first, "error", "The engine died. Ask again.")
    task = await live.ended()
    assert task.error is not None
    assert (task.state, task.error.message) == ("failed", "The engine died. Ask again.")
    assert second in house.engine.cancelled


async def test_two_principals_see_nothing_of_each_other(house: House) -> None:
    mine = await house.tasks.create(ALICE, "tokenize", {"content": "a"}, task="same", key="k")
    theirs = await house.tasks.create(BOB, "tokenize", {"content": "b"}, task="same", key="k")
    assert mine is not theirs
    other = await house.tasks.create(ALICE, "tokenize", {"content": "a"}, task="other")
    for call in (house.tasks.get(BOB, other.id), house.tasks.get(BOB, "nothing")):
        with pytest.raises(CommandError) as caught:
            await call
        assert caught.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(CommandError):
        house.tasks.cancel(BOB, other.id)
    assert [task.by for task in house.tasks.list(BOB).tasks] == [BOB]


async def test_the_same_key_or_id_with_the_same_content_is_the_same_task(house: House) -> None:
    first = await house.tasks.create(ALICE, "tokenize", {"content": "a"}, key="k")
    assert await house.tasks.create(ALICE, "tokenize", {"content": "a"}, key="k") is first
    error = await refused(ErrorCode.BAD_REQUEST, house, "tokenize", {"content": "b"}, key="k")
    assert error.details["field"] == "key"
    named = await house.tasks.create(ALICE, "tokenize", {"content": "a"}, task="t")
    assert await house.tasks.create(ALICE, "tokenize", {"content": "a"}, task="t") is named
    await refused(ErrorCode.EXISTS, house, "tokenize", {"content": "b"}, task="t")
    await refused(ErrorCode.EXISTS, house, "tokenize", {"content": "a"}, task=first.id)
    await refused(ErrorCode.BAD_REQUEST, house, "tokenize", {"content": "a"}, task="tokenize")


async def test_both_who_ask_the_same_at_once_get_the_same_refusal(house: House) -> None:
    asked = CHAT | {"grammar": 'root ::= "a'}
    tries = [house.tasks.create(ALICE, "chat-completion", asked, key="k") for _ in range(2)]
    errors = await asyncio.gather(*tries, return_exceptions=True)
    assert [str(error) for error in errors] == [str(errors[0])] * 2
    live = await house.tasks.create(ALICE, "chat-completion", CHAT, key="k")
    assert live.state == "queued"


async def test_a_principal_may_have_so_many_unfinished_ones(small: House, waiting: Waiting) -> None:
    lives = [await begun(small) for _ in range(BOUNDS.tasks_per_principal)]
    error = await refused(ErrorCode.RATE_LIMITED, small, "waiting", Wait())
    assert error.details["limit"] == BOUNDS.tasks_per_principal
    await small.tasks.create(BOB, "waiting", Wait())
    small.tasks.cancel(ALICE, lives[0].id)
    await begun(small)


async def test_the_oldest_finished_ones_go_where_there_are_too_many(small: House) -> None:
    lives = [await small.tasks.create(ALICE, "tokenize", {"content": "a"}, key=str(n)) for n in range(3)]
    assert [task.id for task in small.tasks.list(ALICE).tasks] == [live.id for live in reversed(lives[1:])]
    again = await small.tasks.create(ALICE, "tokenize", {"content": "b"}, key="0")
    assert again is not lives[0]


async def test_the_oldest_finished_ones_go_where_they_are_too_large(small: House, waiting: Waiting) -> None:
    waiting.go.set()
    first, second = await begun(small, size=60_000), await begun(small, size=60_000)
    await asyncio.gather(first.ended(), second.ended())
    assert [task.id for task in small.tasks.list(ALICE).tasks] == [second.id]
    large = await begun(small, size=200_000)
    task = await large.ended()
    assert task.error is not None
    assert (task.state, task.error.code) == ("failed", "too_large")


async def test_they_go_when_their_time_is_over(vocabulary: Vocabulary, model_path: Path) -> None:
    bounds = TaskBounds(task_results=0.05)
    async for house in closing(House(MemoryStore(), vocabulary, GrammarCheck(model_path), task_bounds=bounds)):
        live = await house.tasks.create(ALICE, "tokenize", {"content": "a"}, key="k")
        deadline = time.monotonic() + 5
        while house.tasks.list(ALICE).tasks:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        with pytest.raises(CommandError):
            await house.tasks.get(ALICE, live.id)


async def test_they_are_listed_by_kind_and_state_the_newest_first_in_pages(house: House) -> None:
    lives = [await house.tasks.create(ALICE, "tokenize", {"content": "a"}) for _ in range(3)]
    chat = await house.tasks.create(ALICE, "chat-completion", CHAT)
    first = house.tasks.list(ALICE, limit=2)
    assert [task.id for task in first.tasks] == [chat.id, lives[2].id]
    second = house.tasks.list(ALICE, limit=2, cursor=first.cursor)
    assert ([task.id for task in second.tasks], second.cursor) == ([lives[1].id, lives[0].id], None)
    assert first.tasks[1].result is None
    assert [task.id for task in house.tasks.list(ALICE, kind="chat-completion").tasks] == [chat.id]
    assert [task.id for task in house.tasks.list(ALICE, state="queued").tasks] == [chat.id]
    assert house.tasks.by_state()["tokenize"] == {"done": 3}
    with pytest.raises(CommandError):
        house.tasks.list(ALICE, cursor="x")


async def test_a_server_that_goes_away_takes_none_and_lets_those_there_are_end(small: House, waiting: Waiting) -> None:
    first, second = await begun(small), await begun(small)
    small.tasks.close()
    await refused(ErrorCode.MODEL_UNAVAILABLE, small, "waiting", Wait())
    small.tasks.cancel(ALICE, first.id)
    waiting.go.set()
    await small.tasks.idle()
    assert (first.state, second.state) == ("cancelled", "done")


async def test_stopping_cancels_what_is_left(small: House, waiting: Waiting) -> None:
    live = await begun(small)
    await small.tasks.stop()
    assert (live.state, waiting.cancelled) == ("cancelled", True)


async def test_ends_are_told_to_who_counts_them(house: House) -> None:
    ends: list[tuple[str, str, object]] = []
    house.tasks.on_ended = lambda task: ends.append((task.kind, task.state, task.result))
    await house.tasks.create(ALICE, "tokenize", {"content": "a"})
    assert ends == [("tokenize", "done", None)]
