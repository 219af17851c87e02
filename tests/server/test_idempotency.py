from __future__ import annotations

import time

import msgspec
import pytest

from livethread.codec import JsonCodec
from livethread.errors import CommandError, ErrorCode
from livethread.messages import Append, Draft, Generate, GenerateOk, Mutate, MutateOk
from livethread.model import Principal, Sampling
from livethread_server.idempotency import answer_record, digest_of, recall
from livethread_server.outbox import Outbox
from livethread_server.session import Session
from livethread_server.store.base import KEY_SECONDS, RunRecord
from livethread_server.store.memory import MemoryStore
from tests.fakes import a_change, a_run, a_thread

ASKED = Mutate(id=1, thread="t", key="k", ops=(Append(Draft("user", "x")),))
OK = MutateOk(1, ("m",), None)


def session(principal: str = "alice") -> Session:
    return Session(Outbox(JsonCodec(), 1), Principal(principal, principal))


def test_biases_are_the_same_in_any_order() -> None:
    some, same, other = (
        Generate(id=1, thread="t", sampling=Sampling(logit_bias=biases))
        for biases in ({1: 0.5, 20: 1.0}, {20: 1.0, 1: 0.5}, {1: 0.5, 20: 1.5})
    )
    assert digest_of(some) == digest_of(same) != digest_of(other)


async def answered() -> MemoryStore:
    store = MemoryStore()
    await store.create(a_thread(), ())
    answer = answer_record(session(), ASKED, msgspec.json.encode(OK))
    await store.commit(a_change(a_thread(), answer=answer))
    return store


async def started(command: Generate) -> MemoryStore:
    store = MemoryStore()
    await store.create(a_thread(), ())
    ok = GenerateOk("r", "m", (), 1, 0)
    record: RunRecord = a_run(digest=digest_of(command), answer=msgspec.json.encode(ok))
    await store.commit(a_change(a_thread(), runs=(record,)))
    return store


def test_a_commands_id_and_key_do_not_tell_it_from_its_like_but_all_else_does() -> None:
    assert digest_of(ASKED) == digest_of(msgspec.structs.replace(ASKED, id=2, key="other"))
    other: list[Mutate | Generate] = [
        msgspec.structs.replace(ASKED, thread="u"),
        msgspec.structs.replace(ASKED, ops=(Append(Draft("user", "y")),)),
        Generate(id=1, thread="t", key="k", ops=ASKED.ops),
    ]
    assert len({digest_of(command) for command in (ASKED, *other)}) == 4


def test_an_answer_is_kept_for_a_day_and_only_under_a_key() -> None:
    record = answer_record(session(), ASKED, b"{}")
    assert record is not None
    assert record.expires == pytest.approx(time.time() + KEY_SECONDS, abs=60)
    assert answer_record(session(), msgspec.structs.replace(ASKED, key=None), b"{}") is None


async def test_the_same_key_gets_the_same_answer_from_any_session_of_its_principal() -> None:
    store = await answered()
    assert await recall(store, session(), ASKED) == OK
    assert await recall(store, session("eve"), ASKED) is None


async def test_a_key_with_another_command_is_refused() -> None:
    store = await answered()
    for command in (Mutate(id=1, thread="t", key="k", ops=()), Generate(id=1, thread="t", key="k")):
        with pytest.raises(CommandError) as caught:
            await recall(store, session(), command)
        assert (caught.value.code, caught.value.details["field"]) == (ErrorCode.BAD_REQUEST, "key")


async def test_a_known_run_is_answered_again_to_its_owner_and_exists_for_others() -> None:
    command = Generate(id=1, thread="t", run="r")
    store = await started(command)
    assert await recall(store, session(), command) == GenerateOk("r", "m", (), 1, 0)
    for who, other in (("eve", command), ("alice", msgspec.structs.replace(command, thread="u"))):
        with pytest.raises(CommandError) as caught:
            await recall(store, session(who), other)
        assert (caught.value.code, caught.value.details["run"]) == (ErrorCode.EXISTS, "r")
