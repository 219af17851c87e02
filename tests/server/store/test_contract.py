"""The contract of ``store/base.py``, sentence by sentence, over every store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from livethread.model import Fork, Message, Principal, Sampling, Thread, Timings, Usage
from livethread_server.store.base import (
    EVENTS_KEPT,
    KEY_SECONDS,
    RUNS_KEPT,
    Access,
    AnswerRecord,
    BadCursor,
    Change,
    EventRecord,
    Invite,
    Missing,
    Record,
    RunRecord,
    Stale,
    Store,
    Taken,
    Turn,
)
from livethread_server.store.memory import MemoryStore
from livethread_server.store.sql import SqlStore
from tests.fakes import a_change, a_run, a_thread, a_turn


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def unopened(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Every store there is."""
    if request.param == "memory":
        return MemoryStore()
    return SqlStore(tmp_path / "threads.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(unopened: Store) -> AsyncIterator[Store]:
    """Every store there is, open and empty."""
    await unopened.open()
    yield unopened
    await unopened.close()


async def apply(store: Store, change: Change) -> Thread:
    await store.commit(change)
    return change.thread


async def created(store: Store, thread: str = "t", *turns: Turn, **fields: Any) -> Thread:
    new = a_thread(thread, **fields)
    await store.create(new, turns)
    return new


def ids(records: Any) -> list[str]:
    return [record.run.id for record in records]


# create, load


async def test_a_thread_is_loaded_as_it_was_created(store: Store) -> None:
    thread = a_thread(
        title="Über\0 😀",
        sampling=Sampling(temperature=0.5, stop=("\n",), logit_bias={3: -1.5}, seed=2**32 - 2),
        metadata={"a": [1, None, {"b": 1.5}], "\0": 2**63},
        overflow="drop_oldest",
        pinned=True,
        forked_from=Fork("other", None),
    )
    whole = Message(
        id="m2",
        role="assistant",
        content="x" * (256 << 10),
        state="cancelled",
        by=Principal("p", "P"),
        run="r",
        reason="timeout",
        usage=Usage(1, 2, 3),
        timings=Timings(0.1, 2.0, 3.5, 4.25),
        metadata={"k": True},
        created_at="2026-01-01T00:00:00Z",
    )
    turns = (a_turn(1, "\0a\0 \u2028 𝄞 \ufffe"), Turn(5, whole, (0, 1, 2**31 - 1)), a_turn(7, "", ()))
    await store.create(thread, turns)
    assert await store.load("t") == Record(thread, turns)


async def test_neither_messages_nor_residency_are_kept(store: Store) -> None:
    turn = a_turn(1)
    await store.create(a_thread(messages=(turn.message,), residency="live"), [turn])
    assert await store.load("t") == Record(a_thread(), (turn,))
    was = a_thread()
    change = a_change(was, thread={"messages": (turn.message,), "residency": "disk"})
    await store.commit(change)
    assert (await store.load("t")).thread == a_thread(version=2)


async def test_an_id_in_use_is_taken_and_changes_nothing(store: Store) -> None:
    await created(store, "t", a_turn(1))
    with pytest.raises(Taken):
        await store.create(a_thread(owner="bob"), [a_turn(2)])
    assert await store.load("t") == Record(a_thread(), (a_turn(1),))


async def test_of_many_threads_those_that_there_are_are_known(store: Store) -> None:
    threads = [a_thread(f"t{number}", owner=f"o{number}", pinned=bool(number)) for number in range(3)]
    for thread in threads:
        await store.create(thread, (a_turn(1),))
    asked = ["t2", "nowhere", "t1", "t1", *(f"x{number}" for number in range(496))]
    assert sorted(await store.known(asked), key=lambda thread: thread.id) == threads[1:]
    assert list(await store.known([])) == []


async def test_ids_are_case_sensitive(store: Store) -> None:
    await created(store, "t", a_turn(1, id="m"), a_turn(2, id="M"))
    await created(store, "T")
    assert len((await store.load("t")).turns) == 2
    assert (await store.load("T")).turns == ()


async def test_names_are_any_text_and_sort_by_its_code_points(store: Store) -> None:
    names = sorted(("", "\0", "\0\1", "\0a", "\1", "\1\0", "\1\2", "a", "B", "a b", "é", "z", "\ufffe", "𝄞"))
    for name in random.Random(2).sample(names, len(names)):
        answer = AnswerRecord(principal=name, key=name, digest=name, answer=b"", expires=9.0)
        run = a_run(f"r{name}", name, owner=name, digest=name)
        was = await created(store, name, a_turn(1, id=name), owner="al\0ice", epoch=name)
        await store.commit(a_change(was, runs=(run,), answer=answer))
        await store.share(name, Access({name: "viewer"}, (Invite(name, "owner", 5.0),)))
        assert await store.run(run.run.id) == run
        assert await store.answer(name, name, name, 0) == answer
        assert await store.invite(name, name) == Invite(name, "owner", 5.0)
        assert (await store.load(name)).access.shares == {name: "viewer"}
        assert await store.role(name, name) == "viewer"
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.list("al\0ice", 3, cursor)
        seen += [thread.id for thread in page.threads]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == names[::-1]
    assert len(await store.known(names)) == len(names)
    assert (await store.list("\0\1", 9, None)).threads[0].id == "\0\1"


async def test_what_is_not_there_is_missing(store: Store) -> None:
    was = await created(store, "other")
    gone = msgspec.structs.replace(was, id="t")
    with pytest.raises(Missing):
        await store.load("t")
    with pytest.raises(Missing):
        await store.commit(a_change(gone))
    with pytest.raises(Missing):
        await store.delete("t", 1, 0)
    assert await store.run("r") is None
    assert await store.answer("t", "p", "k", 0) is None
    assert await store.events("t", 0, 9) == ()
    await store.flush("r", "text", (1,))


# commit


async def test_a_change_drops_puts_and_orders_turns_by_position(store: Store) -> None:
    was = await created(store, "t", *(a_turn(n) for n in (10, 20, 30)))
    change = a_change(
        was,
        put=(a_turn(25), a_turn(20, "New.", (4, 5)), a_turn(5), a_turn(99, id="m10")),
        drop=("m30", "never", "m10"),
        thread={"title": "New", "updated_at": "2026-02-01T00:00:00Z"},
    )
    was = await apply(store, change)
    turns = (a_turn(5), a_turn(20, "New.", (4, 5)), a_turn(25), a_turn(99, id="m10"))
    assert await store.load("t") == Record(was, turns)


async def test_positions_may_be_exchanged_in_one_change(store: Store) -> None:
    was = await created(store, "t", a_turn(1), a_turn(2))
    await store.commit(a_change(was, put=(a_turn(2, id="m1"), a_turn(1, id="m2"))))
    assert [turn.message.id for turn in (await store.load("t")).turns] == ["m2", "m1"]


async def test_the_last_turn_of_an_id_holds(store: Store) -> None:
    was = await created(store, "t", a_turn(1), a_turn(2, id="m1"))
    assert (await store.load("t")).turns == (a_turn(2, id="m1"),)
    await store.commit(a_change(was, put=(a_turn(3, id="m1"), a_turn(4, id="m1"))))
    assert (await store.load("t")).turns == (a_turn(4, id="m1"),)


async def test_message_ids_of_two_threads_have_nothing_to_do_with_each_other(store: Store) -> None:
    was = await created(store, "t", a_turn(1, "mine"))
    await created(store, "u", a_turn(1, "theirs"))
    await store.commit(a_change(was, drop=("m1",)))
    assert (await store.load("u")).turns == (a_turn(1, "theirs"),)


@pytest.mark.parametrize(("version", "seq"), [(1, 0), (3, 1), (2, 0), (1, 1), (2, 2)])
async def test_a_change_of_something_else_is_stale_and_changes_nothing(store: Store, version: int, seq: int) -> None:
    now = await apply(store, a_change(await created(store, "t", a_turn(1)), events=[b"1"]))
    was = msgspec.structs.replace(now, version=version, seq=seq)
    answer = AnswerRecord(principal="p", key="k", digest="d", answer=b"", expires=9.0)
    change = a_change(was, put=(a_turn(2),), drop=("m1",), runs=(a_run(),), events=[b"2"], answer=answer)
    with pytest.raises(Stale):
        await store.commit(change)
    with pytest.raises(Stale):
        await store.delete("t", version, seq)
    assert await store.load("t") == Record(now, (a_turn(1),))
    assert await store.events("t", 0, 9) == (EventRecord(1, b"1"),)
    assert await store.run("r") is None
    assert await store.answer("t", "p", "k", 0) is None


async def test_a_run_id_of_another_thread_is_taken_and_nothing_changes(store: Store) -> None:
    await apply(store, a_change(await created(store, "t"), runs=(a_run(),)))
    was = await created(store, "u", a_turn(1))
    change = a_change(was, put=(a_turn(2),), runs=(a_run("s", "u"), a_run("r", "u")), events=[b"1"])
    with pytest.raises(Taken):
        await store.commit(change)
    assert await store.load("u") == Record(was, (a_turn(1),))
    assert await store.run("s") is None
    assert await store.run("r") == a_run()
    assert await store.events("u", 0, 9) == ()


async def test_of_many_changes_at_once_one_wins(store: Store) -> None:
    was = await created(store)
    changes = [a_change(was, put=(a_turn(n),)) for n in range(10)]
    results = await asyncio.gather(*map(store.commit, changes), return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, Stale) for result in results) == 9
    (turn,) = (await store.load("t")).turns
    assert results[turn.position] is None


async def test_what_was_returned_is_not_touched_by_later_changes(store: Store) -> None:
    was = await apply(store, a_change(await created(store, "t", a_turn(1)), events=[b"1"], runs=(a_run(),)))
    record, page, runs = await store.load("t"), await store.list("alice", 9, None), await store.unfinished()
    events = await store.events("t", 0, 9)
    await store.commit(a_change(was, put=(a_turn(2),), events=[b"2"], runs=(a_run("s"),)))
    await store.delete("t", 3, 2)
    assert record == Record(was, (a_turn(1),))
    assert page.threads == (was,)
    assert list(runs) == [a_run()]
    assert list(events) == [EventRecord(1, b"1")]


# delete


async def test_deletion_takes_everything_of_the_thread_and_nothing_else(store: Store) -> None:
    answer = AnswerRecord(principal="p", key="k", digest="d", answer=b"", expires=9.0)
    for thread, run in (("t", "r"), ("u", "s")):
        was = await created(store, thread, a_turn(1))
        await store.commit(a_change(was, runs=(a_run(run, thread),), events=[b"1"], answer=answer))
    await store.delete("t", 2, 1)
    with pytest.raises(Missing):
        await store.load("t")
    assert await store.run("r") is None
    assert await store.events("t", 0, 9) == ()
    assert await store.answer("t", "p", "k", 0) is None
    assert ids(await store.unfinished()) == ["s"]
    assert await store.answer("u", "p", "k", 0) == answer
    assert len(await store.events("u", 0, 9)) == 1
    was = await created(store, "t", epoch="e2")
    assert await store.load("t") == Record(was, ())
    assert await store.events("t", 0, 9) == ()
    await store.commit(a_change(was, runs=(a_run("r"),), events=[b"again"]))


# list


async def test_an_owners_threads_are_counted(store: Store) -> None:
    assert await store.count("alice") == 0
    for thread in ("t1", "t2"):
        await created(store, thread, a_turn(1))
    await created(store, "bobs", owner="bob")
    assert (await store.count("alice"), await store.count("bob")) == (2, 1)


async def test_threads_are_listed_newest_change_first_in_pages(store: Store) -> None:
    random_order = random.Random(1).sample(range(20), 20)
    for n in random_order:
        await created(store, f"t{n:02}", a_turn(1), updated_at=f"2026-01-{n // 4 + 1:02}T00:00:00Z")
    await created(store, "bobs", owner="bob")
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(7):
        page = await store.list("alice", 3, cursor)
        assert len(page.threads) == (2 if page.cursor is None else 3)
        assert all(thread.messages == () for thread in page.threads)
        seen += [thread.id for thread in page.threads]
        cursor = page.cursor
    assert cursor is None
    assert seen == [f"t{n:02}" for n in reversed(range(20))]


async def test_a_full_last_page_has_no_cursor(store: Store) -> None:
    for n in range(4):
        await created(store, f"t{n}")
    first = await store.list("alice", 2, None)
    last = await store.list("alice", 2, first.cursor)
    assert [thread.id for thread in last.threads] == ["t1", "t0"]
    assert last.cursor is None
    assert await store.list("nobody", 2, None) == type(last)((), None)


async def test_a_changed_thread_comes_first_and_others_are_still_seen_once(store: Store) -> None:
    threads = {n: await created(store, f"t{n}", updated_at=f"2026-01-0{n}T00:00:00Z") for n in range(1, 6)}
    page = await store.list("alice", 2, None)
    assert [thread.id for thread in page.threads] == ["t5", "t4"]
    await store.commit(a_change(threads[3], thread={"updated_at": "2026-02-01T00:00:00Z"}))
    await store.delete("t4", 1, 0)
    rest = await store.list("alice", 9, page.cursor)
    assert [thread.id for thread in rest.threads] == ["t2", "t1"]
    assert (await store.list("alice", 1, None)).threads[0].id == "t3"


async def test_a_cursor_that_was_not_given_out_is_refused(store: Store) -> None:
    for cursor in ("", "x", "é", "null", "bnVsbA"):
        with pytest.raises(BadCursor):
            await store.list("alice", 1, cursor)


# shares


SHARED = Access({"bob": "viewer", "Bob": "participant"}, (Invite("d1", "owner", 5.0), Invite("d2", "viewer", 9.5)))


async def test_who_may_do_what_is_kept_whole_and_replaced_whole(store: Store) -> None:
    was = await created(store, "t", a_turn(1))
    await created(store, "u")
    assert (await store.load("t")).access == Access()
    await store.share("t", SHARED)
    record = await store.load("t")
    assert (record.thread, record.access.shares) == (was, SHARED.shares)
    assert await store.access("t") == record.access
    assert await store.access("nowhere") == Access()
    assert sorted(record.access.invites, key=lambda invite: invite.digest) == list(SHARED.invites)
    assert (await store.load("u")).access == Access()
    await store.share("t", Access({"bob": "owner"}))
    assert (await store.load("t")).access == Access({"bob": "owner"})
    assert record.access.shares == SHARED.shares
    await store.commit(a_change(was))
    assert (await store.load("t")).access == Access({"bob": "owner"})


async def test_a_role_is_the_owners_the_shares_or_none(store: Store) -> None:
    await created(store)
    await store.share("t", SHARED)
    roles = [await store.role("t", who) for who in ("alice", "bob", "Bob", "eve", "")]
    assert roles == ["owner", "viewer", "participant", None, None]
    assert await store.role("u", "alice") is None


async def test_an_invite_is_found_by_its_thread_and_digest(store: Store) -> None:
    await created(store)
    await created(store, "u")
    await store.share("t", SHARED)
    assert await store.invite("t", "d2") == Invite("d2", "viewer", 9.5)
    assert [await store.invite(*asked) for asked in (("t", "d3"), ("u", "d2"), ("v", "d2"))] == [None] * 3


async def test_a_thread_is_shared_and_deleted_at_the_same_moment(store: Store) -> None:
    for _ in range(10):
        await created(store)
        calls = [store.share("t", SHARED), store.delete("t", 1, 0), store.share("t", SHARED)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results[1] is None
        assert {type(result) for result in (results[0], results[2])} <= {type(None), Missing}


async def test_a_thread_that_is_not_there_cannot_be_shared(store: Store) -> None:
    with pytest.raises(Missing):
        await store.share("t", SHARED)


async def test_shared_threads_are_listed_with_ones_own_in_one_order(store: Store) -> None:
    for n in range(12):
        owner = ("alice", "bob", "carol")[n % 3]
        await created(store, f"t{n:02}", owner=owner, updated_at=f"2026-01-{n // 4 + 1:02}T00:00:00Z")
        await store.share(f"t{n:02}", Access({"alice": "viewer"} if owner != "carol" else {"bob": "owner"}))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.list("alice", 3, cursor)
        seen += [thread.id for thread in page.threads]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == [f"t{n:02}" for n in reversed(range(12)) if n % 3 != 2]
    assert len((await store.list("bob", 99, None)).threads) == 8
    await store.share("t01", Access())
    assert "t01" not in [thread.id for thread in (await store.list("alice", 99, None)).threads]


async def test_runs_of_shared_threads_are_found_by_who_may_read_them(store: Store) -> None:
    was = await created(store)
    await store.commit(a_change(was, runs=(a_run("r"), a_run("s", state="finished"))))
    await store.share("t", Access({"bob": "viewer"}))
    assert ids(await store.runs("bob", None, 9)) == ids(await store.runs("bob", "t", 9)) == ["r", "s"]
    assert ids(await store.runs("eve", "t", 9)) == []
    await store.share("t", Access())
    assert ids(await store.runs("bob", None, 9)) == []


async def test_deletion_takes_shares_and_invites_too(store: Store) -> None:
    await created(store)
    await store.share("t", SHARED)
    await store.delete("t", 1, 0)
    assert (await store.role("t", "bob"), await store.invite("t", "d1")) == (None, None)
    await created(store)
    assert (await store.load("t")).access == Access()
    assert (await store.list("bob", 9, None)).threads == ()


# runs


async def test_a_run_is_kept_whole_and_replaced_by_its_id(store: Store) -> None:
    was = await created(store)
    run = a_run(
        request=b"\x00\xff",
        answer=b"a",
        undo=b"u",
        base="ba\0se",
        base_tokens=(1, 2),
        text="te\0xt",
        tokens=(3,),
    )
    was = await apply(store, a_change(was, runs=(run,)))
    assert await store.run("r") == run
    later = msgspec.structs.replace(a_run(state="finished"), started=b"s", base_tokens=())
    await store.commit(a_change(was, runs=(later,)))
    assert await store.run("r") == later


async def test_unfinished_runs_come_in_order_of_acceptance_then_finished_ones_newest_first(
    store: Store,
) -> None:
    was, other = await created(store), await created(store, "u")
    for n in range(6):
        was = await apply(store, a_change(was, runs=(a_run(f"r{n}"),)))
    other = await apply(store, a_change(other, runs=(a_run("s0", "u"), a_run("s1", "u", owner="bob"))))
    for n in (4, 1, 3):
        was = await apply(store, a_change(was, runs=(a_run(f"r{n}", state="finished"),)))
    was = await apply(store, a_change(was, runs=(a_run("r2", state="running"),)))
    assert ids(await store.unfinished()) == ["r0", "r2", "r5", "s0", "s1"]
    assert ids(await store.runs("alice", "t", 99)) == ["r0", "r2", "r5", "r4", "r3", "r1"]
    assert ids(await store.runs("alice", "t", 4)) == ["r0", "r2", "r5", "r4"]
    assert ids(await store.runs("alice", "t", 1)) == ["r0", "r2", "r5"]
    assert ids(await store.runs("alice", None, 5)) == ["r0", "r2", "r5", "s0", "r4"]
    assert ids(await store.runs("bob", None, 5)) == ["s1"]
    assert ids(await store.runs("bob", "t", 5)) == []


async def test_only_the_newest_finished_runs_of_a_thread_are_kept(store: Store) -> None:
    was = await apply(store, a_change(await created(store), runs=(a_run("first"),)))
    other = await created(store, "u")
    await store.commit(a_change(other, runs=(a_run("others", "u", state="finished"),)))
    many = tuple(a_run(f"r{n}", state="finished") for n in range(RUNS_KEPT + 3))
    was = await apply(store, a_change(was, runs=many))
    kept = ids(await store.runs("alice", "t", 9999))
    assert kept == ["first", *(f"r{n}" for n in reversed(range(3, RUNS_KEPT + 3)))]
    assert await store.run("r2") is None
    assert await store.run("others") is not None
    # What is finished now was accepted before all that are kept.
    await store.commit(a_change(was, runs=(a_run("first", state="finished"),)))
    assert await store.run("first") is None
    assert await store.run("r3") is not None


async def test_a_flush_reaches_unfinished_runs_only(store: Store) -> None:
    runs = (a_run("a"), a_run("b", state="running"), a_run("c", state="finished", text="whole", tokens=(9,)))
    await store.commit(a_change(await created(store), runs=runs))
    for run in "abcd":
        await store.flush(run, "part\0", (1, 2))
    found = [await store.run(run) for run in "abc"]
    expected = [
        msgspec.structs.replace(runs[0], text="part\0", tokens=(1, 2)),
        msgspec.structs.replace(runs[1], text="part\0", tokens=(1, 2)),
        runs[2],
    ]
    assert found == expected
    assert (await store.load("t")).thread.version == 2


# events


async def test_events_are_read_in_order_after_a_seq(store: Store) -> None:
    was = await apply(store, a_change(await created(store), events=[b"1", b"2"]))
    await store.commit(a_change(was, events=[b"3\0\xff"]))
    assert [event.body for event in await store.events("t", 0, 9)] == [b"1", b"2", b"3\0\xff"]
    assert list(await store.events("t", 1, 1)) == [EventRecord(2, b"2")]
    assert list(await store.events("t", 3, 9)) == []


async def test_only_the_newest_events_are_kept(store: Store) -> None:
    other = await created(store, "u")
    await store.commit(a_change(other, events=[b"other"]))
    was = await apply(store, a_change(await created(store), events=[b"old"] * 100))
    was = await apply(store, a_change(was, events=[b"new"] * (EVENTS_KEPT - 1)))
    seqs = [event.seq for event in await store.events("t", 0, 9999)]
    assert seqs == list(range(100, EVENTS_KEPT + 100))
    await store.commit(a_change(was))
    assert len(await store.events("t", 0, 9999)) == EVENTS_KEPT
    assert len(await store.events("u", 0, 9999)) == 1


# answers


def an_answer(key: str, given: float, answer: bytes = b"{}", principal: str = "p") -> AnswerRecord:
    return AnswerRecord(principal=principal, key=key, digest="d", answer=answer, expires=given + KEY_SECONDS)


async def test_an_answer_is_kept_per_thread_principal_and_key_until_it_expires(store: Store) -> None:
    was = await created(store)
    await created(store, "u")
    given = (an_answer("k\0é", 0), an_answer("K\0é", 0, b"2"), an_answer("k\0é", 0, b"3", "q"))
    for answer in given:
        was = await apply(store, a_change(was, answer=answer))
    assert await store.answer("t", "p", "k\0é", KEY_SECONDS - 0.5) == given[0]
    assert await store.answer("t", "p", "K\0é", 1) == given[1]
    assert await store.answer("t", "q", "k\0é", 1) == given[2]
    assert await store.answer("u", "p", "k\0é", 1) is None
    assert await store.answer("t", "p", "k\0é", KEY_SECONDS) is None


async def test_an_answer_under_a_known_key_replaces_it(store: Store) -> None:
    was = await apply(store, a_change(await created(store), answer=an_answer("k", 0)))
    await store.commit(a_change(was, answer=an_answer("k", 5, b"new")))
    assert await store.answer("t", "p", "k", 6) == an_answer("k", 5, b"new")


async def test_answers_that_have_expired_are_dropped_by_later_commits(store: Store) -> None:
    was, other = await created(store), await created(store, "u")
    await store.commit(a_change(other, answer=an_answer("old", 0)))
    was = await apply(store, a_change(was, answer=an_answer("young", 10)))
    assert await store.answer("u", "p", "old", 0) is not None
    await store.commit(a_change(was, answer=an_answer("k", KEY_SECONDS)))
    # Asked as of a moment when it held: it is gone for good.
    assert await store.answer("u", "p", "old", 0) is None
    assert await store.answer("t", "p", "young", 0) is not None


# cancelling


async def test_a_cancelled_call_is_done_wholly_or_not_at_all(store: Store) -> None:
    rolls = random.Random(7)
    was = await created(store)
    for n in range(60):
        change = a_change(was, put=(a_turn(n),), runs=(a_run(f"r{n}"),), events=[b"a", b"b"])
        call = asyncio.create_task(store.commit(change))
        for _ in range(rolls.randrange(4)):
            await asyncio.sleep(rolls.choice((0, 0, 0.0003, 0.001)))
        call.cancel()
        await asyncio.wait([call])
        record = await store.load("t")
        assert record.thread in (was, change.thread)
        happened = record.thread == change.thread
        assert happened or call.cancelled()
        assert (a_turn(n) in record.turns) == happened
        assert (await store.run(f"r{n}") is not None) == happened
        assert len(await store.events("t", was.seq, 9)) == (2 if happened else 0)
        was = record.thread
    await store.commit(a_change(was, put=(a_turn(1000),)))


async def test_many_tasks_with_some_cancelled_leave_every_thread_whole(store: Store) -> None:
    rolls = random.Random(3)

    async def write(name: str) -> None:
        was = await created(store, name)
        for n in range(15):
            was = await apply(store, a_change(was, put=(a_turn(n),), events=[b"x"], runs=(a_run(name, name),)))
            await store.load(name)

    tasks = [asyncio.create_task(write(f"t{n}")) for n in range(12)]
    for task in tasks[::2]:
        await asyncio.sleep(rolls.random() * 0.01)
        task.cancel()
    await asyncio.wait(tasks)
    for n, task in enumerate(tasks):
        try:
            record = await store.load(f"t{n}")
        except Missing:
            assert task.cancelled()
            continue
        thread = record.thread
        assert (thread.version, thread.seq) == (len(record.turns) + 1, len(record.turns))
        assert len(await store.events(thread.id, 0, 99)) == thread.seq
        assert task.cancelled() or thread.seq == 15
    assert {type(await store.run(f"t{n}")) for n in (1, 3, 5)} == {RunRecord}
