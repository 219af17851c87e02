"""Real implementations of small surfaces, for tests that need one without its weight."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec

from livethread.model import Message, Principal, Run, RunState, Thread
from livethread.tasks import Task
from livethread_server.settings import Settings
from livethread_server.store.base import Change, EventRecord, Record, RunRecord, Turn, Unsettled, Unusable
from livethread_server.store.memory import MemoryStore


class UnsteadyStore(MemoryStore):
    """A store whose next ``failures`` commits fail, its next ``flushes`` flushes, its next ``loads``, and its next
    ``lookups`` of which threads there are. Of the next changes ``kept`` says whether they are kept, and nobody is told.
    """

    failures = 0
    loads = 0
    flushes = 0
    lookups = 0

    async def known(self, threads: Sequence[str]) -> Sequence[Thread]:
        if self.lookups:
            self.lookups -= 1
            raise Unusable("The disk is broken. Get another.")
        return await super().known(threads)

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bool] = []

    async def load(self, thread: str) -> Record:
        if self.loads:
            self.loads -= 1
            raise Unusable("The database is gone. Start it.")
        return await super().load(thread)

    async def commit(self, change: Change) -> None:
        if self.failures:
            self.failures -= 1
            raise Unusable("The disk is full. Make room.")
        await self._perhaps(super().commit(change))

    async def delete(self, thread: str, was_version: int, was_seq: int) -> None:
        await self._perhaps(super().delete(thread, was_version, was_seq))

    async def create(self, thread: Thread, turns: Sequence[Turn]) -> None:
        await self._perhaps(super().create(thread, turns))

    async def _perhaps(self, work: Coroutine[Any, Any, None]) -> None:
        told = not self.kept
        if told or self.kept.pop(0):
            await work
        else:
            work.close()
        if not told:
            raise Unsettled("The database was lost. Look.")

    async def flush(self, run: str, text: str, tokens: tuple[int, ...]) -> None:
        if self.flushes:
            self.flushes -= 1
            raise Unusable("The disk is full. Make room.")
        await super().flush(run, text, tokens)


def a_thread(thread: str = "t", *, version: int = 1, seq: int = 0, **fields: Any) -> Thread:
    """A thread of the owner ``alice`` unless said otherwise."""
    settled: dict[str, Any] = {
        "owner": "alice",
        "model": "smol",
        "epoch": "e1",
        "created_at": "2026-01-01T00:00:00.000000Z",
        "updated_at": "2026-01-01T00:00:00.000000Z",
    }
    return Thread(id=thread, version=version, seq=seq, **(settled | fields))


def a_turn(position: int, content: str = "Hi.", tokens: tuple[int, ...] | None = None, **fields: Any) -> Turn:
    """A user's message; its id is ``m`` and the position unless said otherwise."""
    settled: dict[str, Any] = {
        "id": f"m{position}",
        "role": "user",
        "created_at": "2026-01-01T00:00:00.000000Z",
    }
    return Turn(position, Message(content=content, **(settled | fields)), tokens)


def a_run(run: str = "r", thread: str = "t", state: RunState = "queued", **fields: Any) -> RunRecord:
    """What a store keeps of a run that writes the message ``m1``."""
    settled: dict[str, Any] = {
        "owner": "alice",
        "request": b"{}",
        "digest": "d",
        "answer": b"{}",
        "undo": b"{}",
        "accepted_at": "2026-01-01T00:00:00.000000Z",
    }
    shown = Run(id=run, thread=thread, message="m1", mode="reply", state=state, by=Principal("alice", "Alice"))
    return RunRecord(run=shown, **(settled | fields))


def a_task(**fields: Any) -> Task:
    """A task of ``alice`` unless said otherwise."""
    settled: dict[str, Any] = {
        "id": "k",
        "kind": "chat-completion",
        "state": "queued",
        "model": "smol",
        "instance": "i_1",
        "by": Principal("alice", "Alice"),
        "created_at": "2026-01-01T00:00:00.000000Z",
    }
    return Task(**(settled | fields))


def a_change(was: Thread, **fields: Any) -> Change:
    """The next change of a thread; ``events`` are bodies, ``thread`` sets fields of the thread."""
    events = tuple(EventRecord(was.seq + step, body) for step, body in enumerate(fields.pop("events", ()), start=1))
    thread = msgspec.structs.replace(
        was, version=was.version + 1, seq=was.seq + len(events), **fields.pop("thread", {})
    )
    return Change(thread=thread, was_version=was.version, was_seq=was.seq, events=events, **fields)


def settings(**fields: Any) -> Settings:
    """Settings of a small server that keeps nothing, unless said otherwise."""
    plain: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 8000,
        "state_dir": Path("state"),
        "models_dir": Path("models"),
        "model": "m",
        "context": 512,
        "sequences": 1,
        "task_sequences": 0,
        "store": "memory",
        "chat_template": None,
        "system_prompt": "",
        "kv_cells": 0,
        "ram_cache": 0,
        "disk_cache": 0,
        "idle_after": 300.0,
        "ingest_tokens": 1024,
        "layout": "split",
        "flash_attention": False,
        "repack": True,
        "threads": 0,
        "gpu_layers": 0,
        "step_ms": 100.0,
        "watchdog": 60.0,
        "queued_runs": 1,
        "queued_tasks": 1,
        "queued_vectors": 8192,
        "subscriptions": 1,
        "outbox_bytes": 1 << 20,
        "sockets": 10_000,
        "sessions_per_principal": 10_000,
        "head_bytes": 32 << 10,
        "body_bytes": 1 << 20,
        "request_seconds": 20.0,
        "hello_seconds": 10.0,
        "ping_seconds": 15.0,
        "pong_seconds": 10.0,
        "slow_seconds": 5.0,
        "close_seconds": 5.0,
        "commands_in_flight": 1024,
        "bytes_in_flight": 32 << 20,
        "message_rate": 1000.0,
        "message_burst": 10_000,
        "loaded_threads": 1024,
        "threads_per_principal": 10_000,
        "on_restart": "resume",
        "drain": 20.0,
        "history_events": 128,
        "history_bytes": 1 << 16,
        "allow_hosts": (),
        "allow_origins": (),
        "auth": "none",
        "auth_tokens": None,
        "jwt_key": None,
        "jwt_jwks": None,
        "jwt_audience": None,
        "jwt_issuer": None,
        "jwt_algorithms": ("HS256", "RS256", "ES256"),
        "jwt_leeway": 30.0,
        "shares": 8,
        "task_results": 600.0,
        "tasks_kept": 10_000,
        "task_result_bytes": 256 << 20,
        "tasks_per_principal": 256,
        "openai_any_model": False,
        "store_connections": 10,
    }
    return Settings(**(plain | fields))
