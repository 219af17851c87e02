from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread.model import Thread
from livethread.replica import apply, begin
from livethread_server import runs, starting
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.engine.outputs import RunOutputs
from livethread_server.engine.wire import Submit
from livethread_server.store.base import Record, RunRecord
from livethread_server.store.sql import SqlStore
from livethread_server.vocabulary import Vocabulary
from tests.house import Guest, House, crash

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}
LOADING = CommandError(ErrorCode.MODEL_LOADING, "The model is being loaded. Try again in a moment.")


class Lives:
    """Servers over one database, one after the other's sudden death."""

    def __init__(self, address: Path | str, vocabulary: Vocabulary, grammars: GrammarCheck) -> None:
        self.address, self._vocabulary, self._grammars = address, vocabulary, grammars
        self.house = self._next()

    async def first(self) -> House:
        await self.house.store.open()
        return self.house

    async def again(self, *, keep: bool = False, trouble: CommandError | None = None, **more: Any) -> House:
        """The server dies and is started again; ``trouble`` is the engine's then."""
        await crash(self.house)
        self.house = self._next(**more)
        self.house.engine.trouble = trouble
        await self.house.store.open()
        await (self.house.recovery.keep() if keep else self.house.recovery.resume())
        return self.house

    async def end(self) -> None:
        await crash(self.house)
        await self._grammars.stop()

    def _next(self, **more: Any) -> House:
        return House(SqlStore(self.address), self._vocabulary, self._grammars, **more)


class Slow(SqlStore):
    """A database that gives thread ``t2`` only once run ``r`` is over."""

    house: House

    async def load(self, thread: str) -> Record:
        while thread == "t2" and self.house.runs.get("r") is not None:  # noqa: ASYNC110 - short
            await asyncio.sleep(0)
        return await super().load(thread)


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """An empty database: SQLite's unless the test says `over_both`."""
    found: Path | str = tmp_path / "threads.db"
    return request.getfixturevalue("postgres_url") if getattr(request, "param", "sqlite") == "postgresql" else found


over_both = pytest.mark.parametrize("address", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
async def lives(address: Path | str, vocabulary: Vocabulary, model_path: Path) -> AsyncIterator[Lives]:
    lives = Lives(address, vocabulary, GrammarCheck(model_path))
    yield lives
    await lives.end()


async def streaming(lives: Lives, **fields: Any) -> Guest:
    """A guest that hears run ``r``, which has said "Hi" and got that stored."""
    house = await lives.first()
    guest = await house.listener()
    await guest.ask(wire.Generate, **({"run": "r", "ops": [USER]} | fields))
    house.engine.start("r", reused=2)
    house.engine.say("r", "Hi", (1, 2))
    await guest.next(wire.RunDelta)
    await house.store.flush("r", "Hi", (1, 2))
    return guest


async def back(house: House) -> tuple[Guest, Thread]:
    """Somebody who listens again, and what he sees."""
    guest = house.guest()
    joined = await guest.ask(wire.Subscribe)
    return guest, begin(joined.thread, joined.run)


async def finish(house: House, run: str = "r", text: str = " there") -> None:
    await house.engine.taken(run)
    house.engine.start(run)
    house.engine.say(run, text, (3,))
    house.engine.finish(run)


@over_both
async def test_a_run_that_streamed_goes_on_where_its_text_was_stored(lives: Lives) -> None:
    before = await streaming(lives, sampling={"temperature": 0.7})
    told, first = await before.heard(), lives.house.engine.submitted["r"]
    house = await lives.again()
    guest, seen = await back(house)
    assert (seen.messages[-1].content, seen.messages[-1].state) == ("Hi", "streaming")
    assert (seen.epoch, seen.seq) == ((await house.store.load("t")).thread.epoch, told[-2].seq)  # type: ignore[attr-defined]
    assert await house.engine.taken("r") == replace(first, generated=(1, 2), said=2)
    await finish(house)
    finished = await guest.next(wire.RunFinished)
    recovered, delta = guest.told[0], guest.told[1]
    assert isinstance(recovered, wire.RunRecovered)
    assert isinstance(delta, wire.RunDelta)
    assert (recovered.run, recovered.message) == ("r", seen.messages[-1].id)
    assert (recovered.seq, recovered.to, recovered.text, recovered.content) == (seen.seq + 1, 2, "Hi", "Hi")
    assert (delta.start, delta.to, delta.text) == (2, 3, " there")
    assert (finished.reason, finished.message.content, finished.seq) == ("stop", "Hi there", seen.seq + 2)
    assert (finished.usage.reused_tokens, finished.usage.completion_tokens) == (2, 3)
    for event in guest.told:
        seen = apply(seen, event)
    assert seen == (await house.guest().ask(wire.ThreadGet)).thread
    assert await house.store.unfinished() == ()


async def test_a_second_death_before_it_said_anything_is_a_second_recovery(lives: Lives) -> None:
    await streaming(lives)
    first = await (await lives.again()).engine.taken("r")
    house = await lives.again()
    assert await house.engine.taken("r") == first
    await finish(house)
    guest, _ = await back(house)
    assert (await guest.next(wire.RunFinished)).message.content == "Hi there"


async def test_a_second_recovery_goes_on_behind_what_the_first_one_said(lives: Lives) -> None:
    await streaming(lives)
    for text, token in ((" there", 3), (" you", 4)):
        house = await lives.again()
        guest, seen = await back(house)
        await house.engine.taken("r")
        house.engine.start("r")
        house.engine.say("r", text, (token,))
        await guest.next(wire.RunDelta)
        await house.store.flush("r", seen.messages[-1].content + text, (*house.engine.submitted["r"].generated, token))
    house.engine.finish("r")
    assert (await guest.next(wire.RunFinished)).message.content == "Hi there you"
    kinds = [msgspec.json.decode(event.body)["type"] for event in await house.store.events("t", 0, 100)]
    assert kinds == ["thread.mutated", "run.started", "run.recovered", "run.recovered", "run.finished"]


@over_both
async def test_queued_runs_stay_queued_and_start_in_order(lives: Lives) -> None:
    guest = await streaming(lives)
    for run in ("r2", "r3"):
        await guest.ask(wire.Generate, run=run, if_busy="enqueue", sampling={"seed": 5})
    house = await lives.again()
    guest, seen = await back(house)
    assert [message.state for message in seen.messages[1:]] == ["streaming", "queued", "queued"]
    shown = (await guest.ask(wire.Runs, thread="t")).runs
    assert [(run.id, run.state, run.position) for run in shown] == [
        ("r", "running", 0),
        ("r2", "queued", 1),
        ("r3", "queued", 2),
    ]
    for run in ("r", "r2", "r3"):
        await finish(house, run)
        await guest.next(wire.RunFinished, run=run)
    told = [(type(event), event.run) for event in guest.told if isinstance(event, wire.RunStarted | wire.RunRecovered)]
    assert told == [(wire.RunRecovered, "r"), (wire.RunStarted, "r2"), (wire.RunStarted, "r3")]
    assert house.engine.submitted["r2"].generated == ()
    assert house.engine.submitted["r2"].sampling.seed == 5


async def test_a_run_that_had_not_begun_begins(lives: Lives) -> None:
    guest = await (await lives.first()).listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    house = await lives.again()
    guest, seen = await back(house)
    assert seen.messages[-1].state == "queued"
    await finish(house)
    finished = await guest.next(wire.RunFinished)
    assert [type(event) for event in guest.told] == [wire.RunStarted, wire.RunDelta, wire.RunFinished]
    assert finished.timings.queue_ms >= 0


@over_both
async def test_runs_of_several_threads_are_submitted_in_the_order_of_acceptance(lives: Lives) -> None:
    house = await lives.first()
    guest = house.guest()
    for number in range(6):
        await guest.ask(wire.ThreadCreate, thread=f"t{number}")
        content = "long " * (500 - 90 * number)
        op = {"op": "append", "message": {"role": "user", "content": content}}
        await guest.ask(wire.Generate, thread=f"t{number}", run=f"r{number}", ops=[op])
    house = await lives.again()
    await house.engine.taken("r5")
    assert list(house.engine.submitted) == [f"r{number}" for number in range(6)]


async def test_threads_can_be_read_and_changed_while_the_model_loads(lives: Lives) -> None:
    await streaming(lives)
    house = await lives.again(trouble=LOADING)
    guest, seen = await back(house)
    assert seen.messages[-1].content == "Hi"
    assert house.engine.submitted == {}
    append = {"op": "append", "message": {"role": "user", "content": "and then"}}
    await guest.ask(wire.Mutate, ops=[append])
    house.engine.trouble = None
    await finish(house)
    assert (await guest.next(wire.RunFinished)).message.content == "Hi there"
    got = (await guest.ask(wire.ThreadGet)).thread
    assert [message.content for message in got.messages] == ["Hello", "Hi there", "and then"]


async def test_a_model_that_never_loads_is_the_end_of_what_waits_for_it(lives: Lives) -> None:
    guest = await streaming(lives)
    await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    house = await lives.again(trouble=LOADING)
    guest, _ = await back(house)
    house.engine.trouble = CommandError(ErrorCode.MODEL_UNAVAILABLE, "The model cannot be loaded. Choose another.")
    for run, content in (("r", "Hi"), ("r2", "")):
        finished = await guest.next(wire.RunFinished, run=run)
        assert finished.error is not UNSET
        assert (finished.reason, finished.error.code) == ("error", ErrorCode.MODEL_UNAVAILABLE)
        assert finished.message.content == content


async def test_a_cancel_does_not_wait_for_the_model(lives: Lives) -> None:
    await streaming(lives)
    house = await lives.again(trouble=LOADING)
    guest, _ = await back(house)
    assert (await guest.ask(wire.Cancel, run="r")).state == "running"
    finished = await guest.next(wire.RunFinished)
    assert (finished.reason, finished.message.content) == ("cancelled", "Hi")
    house.engine.trouble = None
    await asyncio.sleep(0)
    assert house.engine.submitted == {}


@over_both
async def test_runs_can_be_kept_as_they_are_instead(lives: Lives) -> None:
    guest = await streaming(lives)
    await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    house = await lives.again(keep=True)
    got = (await house.guest().ask(wire.ThreadGet)).thread
    assert [(m.content, m.state) for m in got.messages[1:]] == [("Hi", "interrupted"), ("", "interrupted")]
    assert got.messages[1].usage is not None
    assert got.messages[1].usage.prompt_tokens > 0
    assert await house.store.unfinished() == ()
    assert house.engine.submitted == {}


async def test_going_on_with_a_message_recovers_the_whole_of_it(lives: Lives) -> None:
    house = await lives.first()
    said = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One"}]
    guest = await house.listener(messages=said)
    await guest.ask(wire.Generate, run="r", mode="continue")
    house.engine.start("r")
    house.engine.say("r", ", two", (1, 2))
    await guest.next(wire.RunDelta)
    await house.store.flush("r", ", two", (1, 2))
    first = house.engine.submitted["r"]
    house = await lives.again()
    guest, seen = await back(house)
    assert seen.messages[-1].content == "One, two"
    assert (await house.engine.taken("r")).tokens == first.tokens
    await finish(house, text=", three")
    recovered = await guest.next(wire.RunRecovered)
    assert (recovered.text, recovered.content) == (", two", "One, two")
    assert (await guest.next(wire.RunFinished)).message.content == "One, two, three"


async def test_the_prompt_is_the_one_it_started_with_whatever_the_thread_is_set_to_since(lives: Lives) -> None:
    house = await lives.first()
    said = [
        {"role": role, "content": f"{role} {number} " + "word " * 100}
        for number in range(12)
        for role in ("user", "assistant")
    ]
    guest = await house.listener(messages=said, overflow="drop_oldest")
    await guest.ask(wire.Generate, run="r", ops=[USER])
    house.engine.start("r")
    assert (await guest.next(wire.RunStarted)).dropped > 0
    first = house.engine.submitted["r"]
    await guest.ask(wire.ThreadUpdate, overflow="error", sampling={"temperature": 0.1})
    house = await lives.again()
    assert await house.engine.taken("r") == first


@pytest.mark.parametrize(("passed", "reason"), [(0, "stop"), (3600, "timeout")])
async def test_time_goes_on_while_no_server_is_there(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, passed: int, reason: str
) -> None:
    await streaming(lives, timeout_ms=3_000_000)
    monkeypatch.setattr("livethread_server.recovery.seconds_since", lambda moment: passed)
    house = await lives.again(trouble=LOADING if passed else None)
    guest, _ = await back(house)
    if not passed:
        await finish(house, text="")
    finished = await guest.next(wire.RunFinished)
    assert (finished.reason, finished.message.content) == (reason, "Hi")


@pytest.mark.parametrize(("on_disconnect", "reason"), [("cancel", "cancelled"), ("continue", "stop")])
async def test_a_run_that_ends_with_its_session_ends_after_the_restart(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, on_disconnect: str, reason: str
) -> None:
    monkeypatch.setattr(runs, "DISCONNECT_SECONDS", 0)
    await streaming(lives, on_disconnect=on_disconnect)
    house = await lives.again(trouble=LOADING)
    guest, _ = await back(house)
    for _ in range(5):
        await asyncio.sleep(0)
    house.engine.trouble = None
    if reason == "stop":
        await finish(house)
    assert (await guest.next(wire.RunFinished)).reason == reason


@pytest.mark.parametrize("if_busy", ["reject", "enqueue", "interrupt", "rollback"])
async def test_a_recovered_run_is_as_busy_as_any_other(lives: Lives, if_busy: str) -> None:
    await streaming(lives)
    house = await lives.again()
    guest, _ = await back(house)
    await house.engine.taken("r")
    if if_busy == "reject":
        with pytest.raises(CommandError) as refused:
            await guest.ask(wire.Generate, run="r2")
        assert refused.value.code is ErrorCode.BUSY
        return
    ok = await guest.ask(wire.Generate, run="r2", if_busy=if_busy)
    assert ok.position == (if_busy == "enqueue")
    await finish(house, "r" if if_busy == "enqueue" else "r2")
    if if_busy == "enqueue":
        await finish(house, "r2")
    await guest.next(wire.RunFinished, run="r2")
    got = (await guest.ask(wire.ThreadGet)).thread
    content = {"enqueue": "Hi there", "interrupt": "Hi"}.get(if_busy)
    shape = [] if if_busy == "rollback" else [("u1", "Hello"), (got.messages[1].id, content)]
    assert [(m.id, m.content) for m in got.messages[:-1]] == shape
    assert got.messages[-1].content == " there"


async def test_a_mutation_in_front_of_a_recovered_run_is_busy_and_one_behind_it_is_not(lives: Lives) -> None:
    await streaming(lives)
    guest, _ = await back(await lives.again())
    edit = {"op": "edit", "message": "u1", "content": "Good evening"}
    with pytest.raises(CommandError) as refused:
        await guest.ask(wire.Mutate, ops=[edit])
    assert refused.value.code is ErrorCode.BUSY
    await guest.ask(wire.Mutate, ops=[edit], if_busy="interrupt")
    assert (await guest.next(wire.RunFinished)).reason == "interrupted"


@over_both
async def test_the_same_generate_is_answered_as_before_the_crash(lives: Lives) -> None:
    guest = await (await lives.first()).listener()
    fields = {"run": "r", "ops": [USER], "key": "k"}
    ok = await guest.ask(wire.Generate, **fields)
    house = await lives.again()
    assert await house.guest().ask(wire.Generate, **fields) == ok
    await house.engine.taken("r")
    assert list(house.engine.submitted) == ["r"]


async def test_a_prompt_that_fits_no_more_is_an_error(lives: Lives) -> None:
    await streaming(lives, ops=[{"op": "append", "message": {"role": "user", "content": "word " * 100}}])
    house = await lives.again(context=100, trouble=LOADING)
    guest, _ = await back(house)
    house.engine.trouble = None
    finished = await guest.next(wire.RunFinished)
    assert finished.error is not UNSET
    assert finished.error.code == ErrorCode.CONTEXT_OVERFLOW
    assert (finished.reason, finished.message.content) == ("error", "Hi")


async def test_a_model_that_is_served_no_more_is_an_error(lives: Lives) -> None:
    await streaming(lives)
    async with lives.house.lanes.hold("t", None) as lane:
        (record,) = await lives.house.store.unfinished()
        started = msgspec.json.decode(record.started or b"", type=wire.RunStarted)
        transaction = lane.begin()
        transaction.keep(replace(record, started=msgspec.json.encode(replace(started, model="another"))))
        await lives.house.lanes.commit(lane, transaction)
    house = await lives.again(trouble=LOADING)
    guest, _ = await back(house)
    house.engine.trouble = None
    finished = await guest.next(wire.RunFinished)
    assert finished.error is not UNSET
    assert "'another' is not served here" in finished.error.message


UNREADABLE: list[dict[str, Any]] = [
    {"request": b'{"type":"generate","id":1,"thread":"t","mode":"shout"}'},
    {"started": b'{"type":"run.started"}'},
]


async def spoil(house: House, **fields: Any) -> None:
    """Store of run ``r`` what another version might have."""
    async with house.lanes.hold("t", None) as lane:
        record = await house.store.run("r")
        assert isinstance(record, RunRecord)
        transaction = lane.begin()
        transaction.keep(replace(record, **fields))
        await house.lanes.commit(lane, transaction)


@pytest.mark.parametrize("fields", UNREADABLE)
async def test_what_cannot_be_read_any_more_ends_and_the_next_run_starts(
    lives: Lives, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    guest = await streaming(lives)
    await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    await spoil(lives.house, **fields)
    with caplog.at_level("INFO"):
        house = await lives.again()
    assert "1 runs were under way" in caplog.text
    await house.engine.taken("r2")
    record = await house.store.run("r")
    assert record is not None
    assert (record.run.reason, record.text) == ("error", "Hi")
    assert list(house.engine.submitted) == ["r2"]


async def test_a_start_that_cannot_be_read_does_not_keep_the_server_from_starting(lives: Lives) -> None:
    guest = await streaming(lives)
    await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    await spoil(lives.house, started=b"{}")
    house = await lives.again(keep=True)
    got = (await house.guest().ask(wire.ThreadGet)).thread
    assert [(m.content, m.state) for m in got.messages[1:]] == [("Hi", "failed"), ("", "interrupted")]


async def test_a_run_whose_predecessor_ends_while_others_are_taken_up_is_submitted_once(lives: Lives) -> None:
    guest = await streaming(lives)
    await guest.ask(wire.Generate, run="r2", if_busy="enqueue")
    await guest.ask(wire.ThreadCreate, thread="t2")
    await guest.ask(wire.Generate, thread="t2", run="r3", ops=[USER])
    await spoil(lives.house, request=b"{}")
    await crash(lives.house)
    store = Slow(lives.address)
    house = lives.house = store.house = House(store, lives.house.vocabulary, lives.house.grammars)
    submitted, take = list[str](), house.engine.submit

    def noting(submit: Submit) -> RunOutputs:
        submitted.append(submit.run)
        return take(submit)

    house.engine.submit = noting  # type: ignore[method-assign]
    await house.store.open()
    await house.recovery.resume()
    await finish(house, "r2")
    await finish(house, "r3")
    await house.runs.idle()
    assert sorted(submitted) == ["r2", "r3"]


async def test_a_grammar_is_proved_again(lives: Lives) -> None:
    await streaming(lives, sampling={"json_schema": {"type": "boolean"}, "seed": 3})
    first = lives.house.engine.submitted["r"]
    assert first.sampling.grammar
    house = await lives.again()
    assert (await house.engine.taken("r")).sampling == first.sampling


async def test_a_recovered_run_waits_while_the_queue_is_full(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "PAUSE", 0)
    await streaming(lives)
    house = await lives.again(trouble=LOADING)
    take, refusals = house.engine.submit, [ErrorCode.QUEUE_FULL, ErrorCode.MODEL_LOADING, ErrorCode.QUEUE_FULL]

    def full(submit: Submit) -> RunOutputs:
        if refusals:
            raise CommandError(refusals.pop(), "Try again.")
        return take(submit)

    house.engine.submit = full  # type: ignore[method-assign]
    house.engine.trouble = None
    await finish(house)
    guest, _ = await back(house)
    assert (await guest.next(wire.RunFinished)).message.content == "Hi there"
    assert not refusals


async def test_a_server_that_left_nothing_behind_recovers_nothing(house: House) -> None:
    await house.recovery.resume()
    await house.runs.idle()


@pytest.mark.parametrize("to", [1, 2, 3])
async def test_who_comes_back_with_a_position_of_before_the_death_is_told_all_text(lives: Lives, to: int) -> None:
    """At token 2 too, which was stored: text may have been told behind it that was not."""
    guest = await streaming(lives)
    lives.house.engine.say("r", " the", (3,))
    await guest.next(wire.RunDelta, to=3)
    (started,) = [event for event in guest.told if isinstance(event, wire.RunStarted)]
    house = await lives.again(trouble=LOADING)
    epoch = (await house.store.load("t")).thread.epoch
    since = {"epoch": epoch, "seq": started.seq, "run": "r", "to": to}
    ok = await house.guest().ask(wire.Subscribe, since=since)
    assert (ok.recovered, ok.events) == (True, ())
    assert (ok.run.start, ok.run.to, ok.run.text) == (0, 2, "Hi")
