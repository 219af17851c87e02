"""The same command again: how equal requests are told, and what they are answered.

It knows commands and the store's answers; it must never know what the commands do.
"""

from __future__ import annotations

import hashlib
import time

import msgspec

from livethread.errors import CommandError, ErrorCode
from livethread.messages import Generate, GenerateOk, Mutate, MutateOk
from livethread_server.session import Session
from livethread_server.store.base import KEY_SECONDS, AnswerRecord, Store

Repeatable = Mutate | Generate


def digest_of(command: Repeatable) -> str:
    """Equal for commands that ask for the same; the command's id, and its key, do not count."""
    # Keys are sorted only where they are strings, and those of a logit bias are not.
    plain = msgspec.to_builtins(msgspec.structs.replace(command, id=0, key=None), str_keys=True)
    return hashlib.blake2b(msgspec.json.encode(plain, order="sorted"), digest_size=16).hexdigest()


def answer_record(session: Session, command: Repeatable, answer: bytes) -> AnswerRecord | None:
    """What to keep under the command's key; None where it has none."""
    if command.key is None:
        return None
    return AnswerRecord(
        principal=session.principal.id,
        key=command.key,
        digest=digest_of(command),
        answer=answer,
        expires=time.time() + KEY_SECONDS,
    )


async def recall(store: Store, session: Session, command: Repeatable) -> MutateOk | GenerateOk | None:
    """What the same command was answered before; None where it is new.

    `CommandError` ``bad_request`` where its key, and ``exists`` where its run, belongs to another request.
    """
    answer = await _by_key(store, session, command)
    if answer is None and isinstance(command, Generate) and command.run is not None:
        answer = await _by_run(store, session, command)
    if answer is None:
        return None
    if isinstance(command, Generate):
        return msgspec.json.decode(answer, type=GenerateOk)
    return msgspec.json.decode(answer, type=MutateOk)


def run_taken(run: str) -> CommandError:
    """The answer to a run id that another command has."""
    return CommandError(
        ErrorCode.EXISTS,
        f"There is a run {run!r} already, made by another command. Use a new run id.",
        field="run",
        run=run,
    )


async def _by_key(store: Store, session: Session, command: Repeatable) -> bytes | None:
    if command.key is None:
        return None
    record = await store.answer(command.thread, session.principal.id, command.key, time.time())
    if record is not None and record.digest != digest_of(command):
        raise CommandError(
            ErrorCode.BAD_REQUEST,
            f"The key {command.key!r} was used for another command on this thread. Use a new key for a new command.",
            field="key",
        )
    return None if record is None else record.answer


async def _by_run(store: Store, session: Session, command: Generate) -> bytes | None:
    assert command.run is not None
    record = await store.run(command.run)
    if record is None:
        return None
    if record.run.by.id != session.principal.id or record.digest != digest_of(command):
        raise run_taken(command.run)
    return record.answer
