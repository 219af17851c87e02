from __future__ import annotations

import asyncio

import pytest
from msgspec import UNSET

from livethread import messages as wire
from livethread.errors import CommandError, ErrorCode
from livethread.messages import Reuse
from tests.fakes import a_change, a_run, a_thread, a_turn
from tests.house import Guest, House

USER = {"op": "append", "message": {"id": "u1", "role": "user", "content": "Hello"}}


def append(content: str, **more: str) -> dict[str, object]:
    return {"op": "append", "message": {"role": "user", "content": content, **more}}


async def refused(guest: Guest, kind: type[wire.Command], **fields: object) -> CommandError:
    with pytest.raises(CommandError) as caught:
        await guest.ask(kind, **fields)
    return caught.value


async def contents(guest: Guest, thread: str = "t") -> list[tuple[str, str, str]]:
    got = await guest.ask(wire.ThreadGet, thread=thread)
    return [(m.role, m.content, m.state) for m in got.thread.messages]


async def test_a_thread_that_was_created_can_be_read(house: House) -> None:
    guest = house.guest()
    made = await guest.ask(
        wire.ThreadCreate, title="A", messages=[{"role": "system", "content": "Be brief."}], metadata={"a": 1}
    )
    got = await guest.ask(wire.ThreadGet, thread=made.thread.id)
    assert got.thread == made.thread
    assert (got.thread.version, got.thread.seq, got.more) == (0, 0, False)
    assert [m.content for m in got.thread.messages] == ["Be brief."]


async def test_creating_a_thread_twice_is_an_error_or_gets_it(house: House) -> None:
    guest = house.guest()
    made = await guest.ask(wire.ThreadCreate, thread="t", title="first")
    assert (await refused(guest, wire.ThreadCreate, thread="t")).code is ErrorCode.EXISTS
    again = await guest.ask(wire.ThreadCreate, thread="t", title="second", if_exists="get")
    assert again.thread == made.thread


async def test_another_principal_neither_sees_nor_gets_a_thread(house: House) -> None:
    await house.listener("alice")
    eve = house.guest("eve")
    for kind in (wire.ThreadGet, wire.Subscribe, wire.ThreadDelete, wire.ThreadFork, wire.Generate):
        error = await refused(eve, kind)
        unknown = await refused(eve, kind, thread="u")
        assert error.code is unknown.code is ErrorCode.NOT_FOUND
        assert error.message.replace("'t'", "'u'") == unknown.message
    assert (await refused(eve, wire.ThreadCreate, thread="t", if_exists="get")).code is ErrorCode.NOT_FOUND
    assert (await eve.ask(wire.ThreadList)).threads == ()
    assert (await refused(eve, wire.Runs, thread="t")).code is ErrorCode.NOT_FOUND


async def test_threads_are_listed_by_their_newest_change(house: House) -> None:
    guest = house.guest()
    for thread in ("a", "b", "c"):
        await guest.ask(wire.ThreadCreate, thread=thread)
    await guest.ask(wire.ThreadUpdate, thread="a", title="changed")
    first = await guest.ask(wire.ThreadList, limit=2)
    rest = await guest.ask(wire.ThreadList, limit=2, cursor=first.cursor)
    assert [t.id for t in (*first.threads, *rest.threads)] == ["a", "c", "b"]
    assert rest.cursor is None
    assert (await refused(guest, wire.ThreadList, cursor="nonsense")).details["field"] == "cursor"


async def test_a_list_of_large_threads_comes_in_pieces(house: House) -> None:
    guest = house.guest()
    for number in range(3):
        await guest.ask(wire.ThreadCreate, thread=f"t{number}", sampling={"grammar": "#" * 200_000})
    listed, cursor = [], None
    for _ in range(3):
        page = await guest.ask(wire.ThreadList, cursor=cursor)
        listed += [thread.id for thread in page.threads]
        cursor = page.cursor
    assert (listed, cursor) == (["t2", "t1", "t0"], None)


async def test_an_update_changes_what_is_given_and_null_clears(house: House) -> None:
    guest = await house.listener(title="A", sampling={"temperature": 0.5})
    ok = await guest.ask(wire.ThreadUpdate, title=None, metadata={"x": 1})
    told = await guest.next(wire.ThreadUpdated)
    assert (ok.version, told.version, told.seq, told.title, told.metadata) == (1, 1, 1, None, {"x": 1})
    got = (await guest.ask(wire.ThreadGet)).thread
    assert (got.title, got.sampling.temperature, got.metadata) == (None, 0.5, {"x": 1})


async def test_sampling_beyond_the_context_is_refused_everywhere(house: House) -> None:
    guest = await house.listener()
    for kind in (wire.ThreadCreate, wire.ThreadUpdate, wire.Generate):
        fields = {"thread": "t2"} if kind is wire.ThreadCreate else {}
        error = await refused(guest, kind, sampling={"dry_penalty_last_n": 2049}, **fields)
        assert (error.code, error.details["field"]) == (ErrorCode.BAD_REQUEST, "sampling.dry_penalty_last_n")


async def test_ops_are_applied_in_order_or_not_at_all(house: House) -> None:
    guest = await house.listener()
    bad = [append("one"), {"op": "delete", "message": "nobody"}]
    assert (await refused(guest, wire.Mutate, ops=bad)).details["field"] == "ops[1].message"
    assert await contents(guest) == []
    ok = await guest.ask(
        wire.Mutate, ops=[append("two", id="b"), {"op": "insert", "before": "b", "message": USER["message"]}]
    )
    assert (ok.version, ok.messages, ok.reuse) == (1, ("b", "u1"), None)
    told = await guest.next(wire.ThreadMutated)
    assert [op.__class__.__name__ for op in told.ops] == ["Appended", "Inserted"]
    assert [text for _, text, _ in await contents(guest)] == ["Hello", "two"]


async def test_a_stale_version_is_a_conflict_that_names_the_version(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Mutate, ops=[USER], expect_version=0)
    error = await refused(guest, wire.Mutate, ops=[append("late")], expect_version=0)
    assert (error.code, error.details["version"]) == (ErrorCode.VERSION_CONFLICT, 1)


async def test_the_same_key_is_answered_the_same_even_on_a_stale_version(house: House) -> None:
    guest = await house.listener()
    fields = {"ops": [append("once")], "key": "k", "expect_version": 0}
    first = await guest.ask(wire.Mutate, **fields)
    assert await guest.ask(wire.Mutate, **fields) == first
    assert len(await contents(guest)) == 1
    error = await refused(guest, wire.Mutate, ops=[append("other")], key="k")
    assert (error.code, error.details["field"]) == (ErrorCode.BAD_REQUEST, "key")


async def test_a_reply_streams_to_the_asker_and_to_every_watcher(house: House) -> None:
    guest = await house.listener()
    watcher = house.guest()
    await watcher.ask(wire.Subscribe)
    ok = await guest.ask(wire.Generate, run="r", ops=[USER], sampling={"seed": 7})
    assert (ok.run, ok.messages, ok.version, ok.position) == ("r", ("u1",), 1, 0)
    house.engine.start("r", reused=3)
    house.engine.say("r", "Hi", (1,))
    house.engine.finish("r")
    finished = await guest.next(wire.RunFinished)
    await watcher.next(wire.RunFinished)
    assert guest.told == watcher.told
    assert [type(event).__name__ for event in guest.told] == [
        "ThreadMutated",
        "RunStarted",
        "RunDelta",
        "RunFinished",
    ]
    assert [event.seq for event in guest.told if isinstance(event, wire.DurableEvent)] == [1, 2, 3]
    assert (finished.reason, finished.message.content, finished.message.state) == ("stop", "Hi", "done")
    assert finished.usage.reused_tokens == 3
    assert (await guest.next(wire.RunStarted)).sampling.seed == 7


async def test_whoever_subscribes_in_the_middle_gets_the_text_so_far(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    house.engine.start("r")
    house.engine.say("r", "One ", (1, 2))
    await guest.next(wire.RunDelta)
    late = house.guest()
    ok = await late.ask(wire.Subscribe)
    assert (ok.run.text, ok.run.start, ok.run.to) == ("One ", 0, 2)
    house.engine.say("r", "two", (3,))
    delta = await late.next(wire.RunDelta)
    assert (delta.start, delta.to, delta.text) == (2, 3, "two")


async def test_a_second_generate_is_busy_queued_or_takes_over(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r1", ops=[USER])
    house.engine.start("r1")
    house.engine.say("r1", "part", (1,))
    await guest.next(wire.RunDelta)
    assert (await refused(guest, wire.Generate, ops=[append("x")])).code is ErrorCode.BUSY
    queued = await guest.ask(wire.Generate, run="r2", ops=[append("next")], if_busy="enqueue")
    assert queued.position == 1
    assert (await guest.next(wire.RunQueued)).position == 1
    await guest.ask(wire.Generate, run="r3", if_busy="interrupt")
    ends = [(await guest.next(wire.RunFinished, run=run)).reason for run in ("r1", "r2")]
    assert ends == ["interrupted", "interrupted"]
    assert [state for _, _, state in await contents(guest)] == [
        "done",
        "interrupted",
        "done",
        "interrupted",
        "queued",
    ]
    assert {"r1", "r2"} <= set(house.engine.cancelled)


async def test_a_queued_run_starts_when_the_one_before_it_ends(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r1", ops=[USER])
    await guest.ask(wire.Generate, run="r2", ops=[append("more")], if_busy="enqueue")
    house.engine.start("r1")
    house.engine.say("r1", "one", (1,))
    house.engine.finish("r1")
    submit = await house.engine.taken("r2")
    text = house.vocabulary.text(submit.tokens, special=True)
    assert "Hello" in text
    assert "more" in text
    house.engine.start("r2")
    house.engine.finish("r2")
    await guest.next(wire.RunFinished, run="r2")


async def test_rolling_back_undoes_what_the_run_put_in(house: House) -> None:
    guest = await house.listener(messages=[{"id": "a", "role": "user", "content": "old"}])
    await guest.ask(wire.Generate, run="r1", ops=[{"op": "edit", "message": "a", "content": "new"}, append("more")])
    house.engine.start("r1")
    await guest.next(wire.RunStarted)
    await guest.ask(wire.Generate, run="r2", if_busy="rollback")
    assert await contents(guest) == [("user", "old", "done"), ("assistant", "", "queued")]
    seqs = [event.seq for event in await guest.heard() if isinstance(event, wire.DurableEvent)]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_changing_what_a_run_reads_is_busy_but_appending_behind_it_is_not(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    edit = {"op": "edit", "message": "u1", "content": "changed"}
    assert (await refused(guest, wire.Mutate, ops=[edit])).code is ErrorCode.BUSY
    await guest.ask(wire.Mutate, ops=[append("later", id="u2")])
    await guest.ask(wire.Mutate, ops=[{"op": "delete", "message": "u2"}])
    await guest.ask(wire.Mutate, ops=[edit], if_busy="interrupt")
    assert (await guest.next(wire.RunFinished)).reason == "interrupted"
    assert (await contents(guest))[0][1] == "changed"


async def test_a_refused_takeover_leaves_the_run_streaming(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    house.engine.start("r")
    bad = [{"op": "delete", "message": "nobody"}]
    error = await refused(guest, wire.Generate, ops=bad, if_busy="interrupt")
    assert error.code is ErrorCode.NOT_FOUND
    house.engine.say("r", "still here", (1, 2))
    house.engine.finish("r")
    assert (await guest.next(wire.RunFinished)).message.content == "still here"


async def test_a_regeneration_replaces_the_last_message(house: House) -> None:
    guest = await house.listener(messages=[USER["message"], {"role": "assistant", "content": "old"}])
    await guest.ask(wire.Generate, run="r", mode="regenerate")
    house.engine.start("r")
    house.engine.say("r", "new", (1,))
    house.engine.finish("r")
    await guest.next(wire.RunFinished)
    assert [text for _, text, _ in await contents(guest)] == ["Hello", "new"]


async def test_a_regeneration_without_text_puts_the_old_message_back(house: House) -> None:
    guest = await house.listener(messages=[USER["message"], {"id": "old", "role": "assistant", "content": "old"}])
    await guest.ask(wire.Generate, run="r", mode="regenerate")
    await guest.ask(wire.Cancel, run="r")
    await guest.next(wire.RunFinished)
    assert await contents(guest) == [("user", "Hello", "done"), ("assistant", "old", "done")]


async def test_going_on_keeps_the_message_and_its_text(house: House) -> None:
    guest = await house.listener(messages=[USER["message"], {"id": "a", "role": "assistant", "content": "Once upon"}])
    ok = await guest.ask(wire.Generate, run="r", mode="continue")
    assert ok.message == "a"
    prompt = house.vocabulary.text(house.engine.submitted["r"].tokens, special=True)
    assert prompt.endswith("Once upon")
    house.engine.start("r")
    house.engine.say("r", " a time", (253, 655))
    house.engine.finish("r")
    finished = await guest.next(wire.RunFinished)
    assert (finished.message.id, finished.message.content) == ("a", "Once upon a time")


async def test_going_on_needs_a_last_message_of_the_assistant(house: House) -> None:
    guest = await house.listener(messages=[USER["message"]])
    error = await refused(guest, wire.Generate, mode="continue")
    assert (error.code, error.details["field"]) == (ErrorCode.BAD_REQUEST, "mode")


async def test_generated_messages_go_into_the_next_prompt_as_the_ids_they_were(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r1", ops=[USER])
    first = house.engine.submitted["r1"].tokens
    house.engine.start("r1")
    text, odd = "hello", tuple(house.vocabulary.tokenize(letter, special=False)[0] for letter in "hello")
    house.engine.say("r1", text, odd)
    house.engine.finish("r1")
    await guest.next(wire.RunFinished)
    await guest.ask(wire.Generate, run="r2", ops=[append("and?")])
    assert house.engine.submitted["r2"].tokens[: len(first) + len(odd)] == first + odd


async def test_a_cancel_right_behind_its_generate_is_not_lost(house: House) -> None:
    guest = await house.listener()
    command = wire.Generate(id=1, thread="t", run="r")
    house.service.announce(guest.session, command)
    found = house.service.cancel(guest.session, wire.Cancel(id=2, run="r"))
    assert found == wire.CancelOk("r", "queued")
    await house.service.carry_out(guest.session, command, lambda ok: None)
    assert (await guest.next(wire.RunFinished)).reason == "cancelled"


async def test_a_cancel_works_twice_and_after_the_end(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    assert (await guest.ask(wire.Cancel, run="r")).state == "queued"
    assert (await guest.ask(wire.Cancel, run="r")).state == "queued"
    await guest.next(wire.RunFinished)
    assert (await guest.ask(wire.Cancel, run="r")).state == "finished"
    assert (await refused(guest, wire.Cancel, run="nobody")).code is ErrorCode.NOT_FOUND
    assert (await refused(house.guest("eve"), wire.Cancel, run="r")).code is ErrorCode.NOT_FOUND
    assert len([e for e in await guest.heard() if isinstance(e, wire.RunFinished)]) == 1


async def test_a_run_that_lives_nowhere_is_finished_whatever_was_stored_of_it_last(house: House) -> None:
    await house.store.create(a_thread(), [a_turn(1)])
    await house.store.commit(a_change(a_thread(), runs=(a_run(state="running"),)))
    assert (await house.guest().ask(wire.Cancel, run="r")).state == "finished"


async def test_a_timeout_counts_from_acceptance(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER], timeout_ms=1)
    finished = await guest.next(wire.RunFinished)
    assert (finished.reason, finished.message.state) == ("timeout", "cancelled")


async def test_a_known_run_id_is_answered_again_or_exists(house: House) -> None:
    guest = await house.listener()
    first = await guest.ask(wire.Generate, run="r", ops=[USER])
    assert await guest.ask(wire.Generate, run="r", ops=[USER]) == first
    assert (await refused(guest, wire.Generate, run="r")).code is ErrorCode.EXISTS
    assert len(await contents(guest)) == 2


async def test_a_prompt_that_does_not_fit_changes_nothing(house: House) -> None:
    guest = await house.listener()
    error = await refused(guest, wire.Generate, ops=[append("word " * 3000)])
    assert error.code is ErrorCode.CONTEXT_OVERFLOW
    assert error.details["context_tokens"] == 2048
    assert error.details["prompt_tokens"] > 3000
    assert await contents(guest) == []


async def test_a_queued_run_that_does_not_fit_ends_with_the_error(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r1", ops=[USER])
    await guest.ask(wire.Generate, run="r2", ops=[append("word " * 3000)], if_busy="enqueue")
    await guest.ask(wire.Cancel, run="r1")
    finished = await guest.next(wire.RunFinished, run="r2")
    assert finished.error is not UNSET
    assert (finished.reason, finished.error.code) == ("error", ErrorCode.CONTEXT_OVERFLOW)
    assert finished.message.state == "failed"


async def test_an_empty_cancelled_message_stays_out_of_the_next_prompt(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r1", ops=[USER])
    first = house.engine.submitted["r1"].tokens
    await guest.ask(wire.Cancel, run="r1")
    await guest.next(wire.RunFinished)
    await guest.ask(wire.Generate, run="r2")
    assert house.engine.submitted["r2"].tokens == first


async def test_a_full_queue_says_so(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, ops=[USER])
    for _ in range(8):
        await guest.ask(wire.Generate, if_busy="enqueue")
    error = await refused(guest, wire.Generate, if_busy="enqueue")
    assert (error.code, error.retryable) == (ErrorCode.QUEUE_FULL, True)


async def test_a_model_that_is_loading_is_an_answer(house: House) -> None:
    guest = await house.listener()
    house.engine.trouble = CommandError(ErrorCode.MODEL_LOADING, "The model is loading. Try again soon.")
    error = await refused(guest, wire.Generate, ops=[USER])
    assert error.code is ErrorCode.MODEL_LOADING
    assert await contents(guest) == []


async def test_what_the_engine_breaks_ends_the_run_with_its_sentence(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    house.engine.start("r")
    house.engine.say("r", "half", (1,))
    house.engine.finish("r", "error", "The engine died. Generate again.")
    finished = await guest.next(wire.RunFinished)
    assert (finished.message.content, finished.message.state) == ("half", "failed")
    assert finished.error is not UNSET
    assert finished.error.message == "The engine died. Generate again."


async def test_deleting_a_thread_ends_its_runs_first(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    await guest.ask(wire.ThreadDelete)
    await guest.next(wire.ThreadDeleted)
    kinds = [type(event).__name__ for event in guest.told]
    assert kinds == ["ThreadMutated", "RunFinished", "ThreadDeleted"]
    assert house.engine.forgotten == ["t"]
    assert (await refused(guest, wire.ThreadGet)).code is ErrorCode.NOT_FOUND
    again = await guest.ask(wire.ThreadCreate, thread="t")
    assert (again.thread.version, again.thread.seq) == (0, 0)


async def test_a_fork_copies_messages_with_their_ids_up_to_any_message(house: House) -> None:
    guest = await house.listener(
        messages=[{"id": "a", "role": "user", "content": "1"}, {"id": "b", "role": "assistant", "content": "2"}]
    )
    whole = (await guest.ask(wire.ThreadFork, new_thread="whole")).thread
    part = (await guest.ask(wire.ThreadFork, at="a", title="part")).thread
    assert [m.id for m in whole.messages] == ["a", "b"]
    assert [m.id for m in part.messages] == ["a"]
    assert (part.title, part.forked_from.thread, part.forked_from.at) == ("part", "t", "a")
    assert (await refused(guest, wire.ThreadFork, new_thread="whole")).code is ErrorCode.EXISTS
    assert (await refused(guest, wire.ThreadFork, at="nobody")).code is ErrorCode.NOT_FOUND


async def test_a_fork_stops_before_what_is_unfinished(house: House) -> None:
    guest = await house.listener()
    ok = await guest.ask(wire.Generate, ops=[USER])
    assert [m.id for m in (await guest.ask(wire.ThreadFork)).thread.messages] == ["u1"]
    assert (await refused(guest, wire.ThreadFork, at=ok.message)).code is ErrorCode.BUSY


async def test_a_mutation_says_how_much_of_the_live_context_it_keeps(house: House) -> None:
    guest = await house.listener()
    await guest.ask(wire.Generate, run="r", ops=[USER])
    prompt = len(house.engine.submitted["r"].tokens)
    house.engine.start("r")
    house.engine.finish("r")
    await guest.next(wire.RunFinished)
    house.live("t", prompt)
    assert (await guest.ask(wire.Mutate, ops=[append("more")])).reuse == Reuse(prompt, 0)
    edited = (await guest.ask(wire.Mutate, ops=[{"op": "edit", "message": "u1", "content": "x"}])).reuse
    assert 0 < edited.kept_tokens < prompt
    assert edited.kept_tokens + edited.stale_tokens == prompt


async def test_residency_is_told_and_shown(house: House) -> None:
    guest = await house.listener()
    house.live("t", 5)
    assert (await guest.next(wire.ThreadResidency)).residency == "live"
    assert (await guest.ask(wire.ThreadGet)).thread.residency == "live"
    assert (await guest.ask(wire.ThreadList)).threads[0].residency == "live"


async def test_old_messages_are_read_in_pieces(house: House) -> None:
    guest = await house.listener(messages=[{"id": f"m{i}", "role": "user", "content": "x" * 100_000} for i in range(5)])
    newest = await guest.ask(wire.ThreadGet)
    assert ([m.id for m in newest.thread.messages], newest.more) == (["m3", "m4"], True)
    older = await guest.ask(wire.ThreadGet, before="m3", limit=1)
    assert ([m.id for m in older.thread.messages], older.more) == (["m2"], True)
    oldest = await guest.ask(wire.ThreadGet, before="m1")
    assert ([m.id for m in oldest.thread.messages], oldest.more) == (["m0"], False)


async def test_subscriptions_are_bounded_and_end(house: House) -> None:
    guest = await house.listener()
    for number in range(3):
        await guest.ask(wire.ThreadCreate, thread=f"t{number}")
        await guest.ask(wire.Subscribe, thread=f"t{number}")
    await guest.ask(wire.ThreadCreate, thread="t9")
    assert (await refused(guest, wire.Subscribe, thread="t9")).code is ErrorCode.RATE_LIMITED
    await guest.ask(wire.Unsubscribe)
    await guest.ask(wire.Subscribe, thread="t9")
    before = len(await guest.heard())
    await guest.ask(wire.Mutate, ops=[USER])
    assert len(await guest.heard()) == before


async def test_subscriptions_to_deleted_threads_do_not_count(house: House) -> None:
    guest = house.guest()
    for number in range(6):
        await guest.ask(wire.ThreadCreate, thread=f"t{number}")
        await guest.ask(wire.Subscribe, thread=f"t{number}")
        await guest.ask(wire.ThreadDelete, thread=f"t{number}")


async def test_a_change_of_a_generated_message_keeps_the_context_before_it(house: House) -> None:
    guest = await house.listener()
    ok = await guest.ask(wire.Generate, run="r", ops=[USER])
    prompt = len(house.engine.submitted["r"].tokens)
    house.engine.start("r")
    house.engine.say("r", "Hi there", (1, 2, 3))
    house.engine.finish("r")
    await guest.next(wire.RunFinished)
    house.live("t", prompt + 3)
    edit = {"op": "edit", "message": ok.message, "content": "x"}
    assert (await guest.ask(wire.Mutate, ops=[edit])).reuse == Reuse(prompt, 3)


async def test_runs_are_listed_with_their_positions(house: House) -> None:
    guest = await house.listener()
    for number in range(3):
        await guest.ask(wire.Generate, run=f"r{number}", if_busy="enqueue")
    house.engine.start("r0")
    await guest.next(wire.RunStarted)
    runs = (await guest.ask(wire.Runs, thread="t")).runs
    assert [(run.id, run.state, run.position) for run in runs] == [
        ("r0", "running", 0),
        ("r1", "queued", 1),
        ("r2", "queued", 2),
    ]


async def test_runs_that_should_not_outlive_their_asker_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livethread_server.runs.DISCONNECT_SECONDS", 0)
    asker = await house.listener()
    watcher = house.guest()
    await watcher.ask(wire.Subscribe)
    await asker.ask(wire.Generate, run="r", ops=[USER], on_disconnect="cancel")
    house.service.leave(asker.session)
    assert (await watcher.next(wire.RunFinished)).reason == "cancelled"


async def test_many_generates_at_once_leave_one_dense_stream(house: House) -> None:
    guest = await house.listener()
    asks = [guest.ask(wire.Generate, run=f"r{i}", if_busy="interrupt", ops=[append(str(i))]) for i in range(8)]
    await asyncio.gather(*asks)
    await guest.ask(wire.Cancel, run="r7")
    for number in range(8):
        await guest.next(wire.RunFinished, run=f"r{number}")
    durable = [event for event in await guest.heard() if isinstance(event, wire.DurableEvent)]
    assert [event.seq for event in durable] == list(range(1, len(durable) + 1))
    assert len([event for event in durable if isinstance(event, wire.RunFinished)]) == 8
