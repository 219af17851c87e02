"""What makes a command safe to send twice, and what the second answer means."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from livethread.calls import Call, decided, doubt, mint, repeatable, said_again, understood
from livethread.codec import to_command
from livethread.errors import CommandError, ErrorCode
from livethread.messages import (
    Append,
    Command,
    Draft,
    Empty,
    Generate,
    Mutate,
    Ping,
    ThreadCreate,
    ThreadDelete,
    ThreadFork,
    ThreadGet,
    ThreadGetOk,
    ThreadOk,
    ThreadUpdate,
)
from livethread.model import Fork, Thread

GONE = CommandError(ErrorCode.NOT_FOUND, "There is no such thread.")
TAKEN = CommandError(ErrorCode.EXISTS, "The id is taken.")


def thread(**fields: Any) -> Thread:
    usual: dict[str, Any] = {"id": "t", "model": "m", "version": 0, "seq": 0, "epoch": "e", "owner": "p"}
    return Thread(**(usual | {"created_at": "then", "updated_at": "then"} | fields))


@pytest.mark.parametrize(
    "command",
    [
        Mutate(id=1, thread="t", ops=(Append(Draft("user", "Hello")),)),
        Generate(id=1, thread="t", run="r"),
        ThreadCreate(id=1),
        ThreadFork(id=1, thread="t"),
    ],
)
def test_what_has_no_id_or_key_gets_one_that_the_server_takes(command: Command) -> None:
    once, other = repeatable(command), repeatable(command)
    assert once != other
    assert repeatable(once) == once
    plain = {"type": once.__struct_config__.tag, "id": 1, "thread": "t", "ops": [{"op": "truncate", "after": None}]}
    named = {name: getattr(once, name) for name in ("key", "new_thread") if hasattr(once, name)}
    if isinstance(once, ThreadCreate):
        named, plain = {"thread": once.thread}, {"type": "thread.create", "id": 1}
    if isinstance(once, ThreadFork):
        del plain["ops"]
    assert to_command(plain | named)


def test_ids_and_keys_of_ones_own_are_kept() -> None:
    for command in (
        Mutate(id=1, thread="t", ops=(), key="k"),
        Generate(id=1, thread="t", key="k"),
        ThreadCreate(id=1, thread="t"),
        ThreadFork(id=1, thread="t", new_thread="n"),
        ThreadUpdate(id=1, thread="t", title="T"),
        Ping(id=1),
    ):
        assert repeatable(command) is command


def test_only_creating_is_said_differently_the_second_time() -> None:
    create = ThreadCreate(id=1, thread="t")
    assert said_again(create) == replace(create, if_exists="get")
    assert said_again(Ping(id=1)) == Ping(id=1)


def test_a_thread_that_is_there_is_ours_where_nothing_has_happened_to_it() -> None:
    create = ThreadCreate(id=1, thread="t")
    assert understood(create, ThreadOk(thread())) == ThreadOk(thread())
    refused = understood(create, ThreadOk(thread(version=1)))
    assert isinstance(refused, CommandError)
    assert refused.code is ErrorCode.EXISTS
    get = replace(create, if_exists="get")
    assert understood(get, ThreadOk(thread(version=1))) == ThreadOk(thread(version=1))


def test_a_thread_that_is_gone_was_deleted() -> None:
    assert understood(ThreadDelete(id=1, thread="t"), GONE) == Empty()
    assert understood(ThreadDelete(id=1, thread="t"), TAKEN) is TAKEN
    assert understood(ThreadUpdate(id=1, thread="t"), GONE) is GONE


@pytest.mark.parametrize(
    ("origin", "at", "ours"),
    [(Fork("t", "m"), None, True), (Fork("t", "m"), "m", True), (Fork("t", "m"), "n", False), (None, None, False)],
)
def test_a_fork_that_is_there_is_ours_where_it_says_so(origin: Fork | None, at: str | None, ours: bool) -> None:
    fork = ThreadFork(id=1, thread="t", at=at, new_thread="f")
    assert doubt(fork, TAKEN) == ThreadGet(id=0, thread="f")
    assert doubt(fork, ThreadOk(thread())) is None
    found = thread(id="f", forked_from=origin)
    assert decided(fork, TAKEN, ThreadGetOk(found, False)) == (ThreadOk(found) if ours else TAKEN)
    assert decided(fork, TAKEN, GONE) is TAKEN


async def test_a_call_knows_whether_it_may_have_been_carried_out() -> None:
    call = Call(ThreadCreate(id=1, thread="t"))
    first, second = object(), object()
    assert (call.words(first), call.repeated) == (call.command, False)
    assert (call.words(second), call.repeated) == (said_again(call.command), True)
    assert call.again().repeated
    call.settle(Empty())
    call.settle(GONE)
    assert await call.answer == Empty()


def test_a_minted_id_fits_the_wire_and_is_nobody_elses() -> None:
    assert len({mint() for _ in range(100)}) == 100
    assert all(f"t{mint()}".isalnum() and len(mint()) <= 63 for _ in range(10))
