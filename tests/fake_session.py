"""One session with a `FakeServer`: what each command does to its threads, and what it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import websockets
from msgspec import UNSET, Struct, structs
from websockets.asyncio.server import ServerConnection as Socket

from livethread import messages as wire
from livethread.codec import CODECS
from livethread.connection import ServerConnection
from livethread.errors import CommandError, ErrorCode, FrameError
from livethread.model import Fork, Message, Principal, Run, Thread

if TYPE_CHECKING:
    from tests.fake_server import FakeServer

NOBODY = Principal("nobody", "Nobody")
TIME = "2026-01-01T00:00:00.000000Z"


class FakeSession:
    """One connection to a `FakeServer`: carries out its commands in the order in which they come."""

    def __init__(self, fake: FakeServer, socket: Socket) -> None:
        self.fake = fake
        self.socket = socket
        self.codec = CODECS[socket.subprotocol or "livethread.v1.json"]
        self.subscribed: set[str] = set()
        self._frames = fake.cuts.pop(0) if fake.cuts else None
        self._connection = ServerConnection(self.codec, hello_required=fake.token is not None)

    async def send(self, frame: str | bytes) -> None:
        if self._may():
            with suppress(websockets.ConnectionClosed):
                await self.socket.send(frame)

    def _may(self) -> bool:
        """Count a frame; False, and the connection is gone, where it is one too many."""
        if self._frames is None:
            return True
        self._frames -= 1
        if self._frames < 0:
            self.fake.sessions.discard(self)
            self.socket.transport.abort()
        return self._frames >= 0

    async def serve(self) -> None:
        self.fake.sessions.add(self)
        try:
            async for frame in self.socket:
                if not self._may():
                    return
                command = self._connection.receive(frame)
                if isinstance(command, wire.Command):
                    self.fake.received.append(command)
                    await self._carry_out(command)
                else:
                    await self.send(command)
        except FrameError as error:
            await self.socket.close(4501, str(error)[:100])
        except websockets.ConnectionClosed:
            pass
        finally:
            self.fake.sessions.discard(self)
            self.fake.watching.discard(self)

    async def _carry_out(self, command: wire.Command) -> None:
        if self.fake.muted:
            return
        try:
            if waiting := self.fake.refusals.get(type(command)):
                raise waiting.pop(0)
            await getattr(self, f"_{type(command).__name__.lower()}")(command)
        except KeyError as error:
            refusal = CommandError(ErrorCode.NOT_FOUND, f"There is no thread {error}. Create it.")
            await self.send(self._connection.refuse(command.id, refusal))
        except CommandError as error:
            await self.send(self._connection.refuse(command.id, error))

    async def _ok(self, command: wire.Command, ok: Struct) -> None:
        await self.send(self._connection.reply(command.id, ok))

    async def _hello(self, command: wire.Hello) -> None:
        if command.token != self.fake.token:
            raise CommandError(ErrorCode.UNAUTHORIZED, "This token is not known here. Bring another.")
        self.fake.greeted += 1
        limits = wire.Limits(1 << 20, 1 << 18, 2048, 8, 64)
        await self._ok(command, wire.HelloOk("fake", "0", "s1", NOBODY, ("fake",), limits))

    async def _ping(self, command: wire.Ping) -> None:
        await self._ok(command, wire.Empty())

    async def _threadcreate(self, command: wire.ThreadCreate) -> None:
        made = command.thread or f"t{len(self.fake.threads)}"
        if made in self.fake.threads and command.if_exists == "get":
            await self._ok(command, wire.ThreadOk(self.fake.threads[made]))
            return
        if made in self.fake.threads:
            raise CommandError(ErrorCode.EXISTS, f"There is a thread {made!r} already. Choose another id.")
        messages = tuple(_message(draft, f"c{index}") for index, draft in enumerate(command.messages))
        self.fake.threads[made] = Thread(
            id=made,
            title=command.title,
            model="fake",
            version=0,
            seq=0,
            epoch="e",
            messages=messages,
            owner="nobody",
            created_at=TIME,
            updated_at=TIME,
        )
        await self._ok(command, wire.ThreadOk(self.fake.threads[made]))
        await self._tell_watchers(wire.ThreadCreated, made)

    async def _tell_watchers(self, kind: Callable[..., wire.Event], thread: str) -> None:
        event = kind(thread=thread, summary=structs.replace(self.fake.threads[thread], messages=()))
        for session in tuple(self.fake.watching):
            await session.send(session.codec.encode(event))

    async def _watch(self, command: wire.Watch) -> None:
        self.fake.watching.add(self)
        await self._ok(command, wire.Empty())

    async def _presence(self, command: wire.Presence) -> None:
        await self._ok(command, wire.Empty())
        here = wire.Here("s1", NOBODY.id, NOBODY.name, command.typing)
        await self.fake.tell(wire.PresenceChanged(thread=command.thread, here=(here,), total=1))

    async def _threadshare(self, command: wire.ThreadShare) -> None:
        await self._ok(command, wire.ShareOk("token" if command.invite is True else None))

    async def _threadget(self, command: wire.ThreadGet) -> None:
        await self._ok(command, wire.ThreadGetOk(self.fake.threads[command.thread], False))

    async def _threadlist(self, command: wire.ThreadList) -> None:
        start = int(command.cursor or 0)
        found = [structs.replace(one, messages=()) for one in self.fake.threads.values()][start:]
        cursor = str(start + command.limit) if len(found) > command.limit else None
        await self._ok(command, wire.ThreadListOk(tuple(found[: command.limit]), cursor))

    async def _threadupdate(self, command: wire.ThreadUpdate) -> None:
        thread = self.fake.threads[command.thread]
        await self._ok(command, wire.VersionOk(thread.version + 1))
        fields = {"title": command.title, "updated_at": TIME, "by": NOBODY}
        await self.fake.durable(wire.ThreadUpdated, thread.id, 1, **fields)

    async def _threaddelete(self, command: wire.ThreadDelete) -> None:
        thread = self.fake.threads[command.thread]
        await self._ok(command, wire.Empty())
        await self.fake.durable(wire.ThreadDeleted, thread.id, 0, by=NOBODY)
        del self.fake.threads[thread.id]

    async def _threadfork(self, command: wire.ThreadFork) -> None:
        thread = self.fake.threads[command.thread]
        name = command.new_thread or f"t{len(self.fake.threads)}"
        if name in self.fake.threads:
            raise CommandError(ErrorCode.EXISTS, f"There is a thread {name!r} already. Choose another id.")
        made = structs.replace(thread, id=name, seq=0, forked_from=Fork(thread.id, command.at))
        self.fake.threads[made.id] = made
        await self._ok(command, wire.ThreadOk(made))

    async def _subscribe(self, command: wire.Subscribe) -> None:
        thread = self.fake.threads[command.thread]
        self.subscribed.add(thread.id)
        found = next((said for said in self.fake.said.values() if self._is_of(said, thread)), None)
        since = command.since if command.since and command.since.epoch == thread.epoch else None
        recovered = since is not None and not self.fake.forgetful
        ok = wire.SubscribeOk(
            epoch=thread.epoch,
            seq=thread.seq,
            version=thread.version,
            recovered=recovered,
            run=found or UNSET,
        )
        if since is None or not recovered:
            await self._ok(command, structs.replace(ok, thread=thread, more=False))
        else:
            events = tuple(one for one in self.fake.histories.get(thread.id, ()) if one.seq > since.seq)
            run = UNSET if found is None else self._rest(found, since)
            await self._ok(command, structs.replace(ok, events=events, run=run))

    def _is_of(self, said: wire.RunSnapshot, thread: Thread) -> bool:
        return any(message.id == said.message and message.run == said.run for message in thread.messages)

    def _rest(self, said: wire.RunSnapshot, since: wire.Since) -> wire.RunSnapshot:
        """What has come of a run since then; every word is one token."""
        if since.run != said.run or self.fake.vague:
            return said
        text = "".join(self.fake.words[since.to : said.to])
        return structs.replace(said, start=since.to, text=text)

    async def _unsubscribe(self, command: wire.Unsubscribe) -> None:
        self.subscribed.discard(command.thread)
        await self._ok(command, wire.Empty())

    async def _mutate(self, command: wire.Mutate) -> None:
        if await self._known(command):
            return
        thread = self.fake.threads[command.thread]
        ops, made = _applied(thread, command.ops)
        await self._keep(command, wire.MutateOk(thread.version + 1, made, None))
        await self.fake.durable(wire.ThreadMutated, thread.id, 1, ops=ops, by=NOBODY, updated_at=TIME)

    async def _generate(self, command: wire.Generate) -> None:
        if await self._known(command):
            return
        thread = self.fake.threads[command.thread]
        ops, made = _applied(thread, command.ops)
        run, place = command.run or "r", f"a{thread.seq}"
        message = Message(id=place, role="assistant", content="", state="queued", run=run, created_at=TIME)
        await self._keep(command, wire.GenerateOk(run, place, made, thread.version + 1, 0))
        ops = (*ops, wire.Appended(message))
        await self.fake.durable(wire.ThreadMutated, thread.id, 1, ops=ops, by=NOBODY, updated_at=TIME)
        self.fake.runs[run] = asyncio.create_task(self.fake.run(thread.id, run, place))

    async def _known(self, command: wire.Mutate | wire.Generate) -> bool:
        """Whether the same command was carried out before; then it is answered as it was."""
        answer = self.fake.answers.get(command.key or "")
        if answer is not None:
            await self._ok(command, answer)
        return answer is not None

    async def _keep(self, command: wire.Mutate | wire.Generate, answer: Struct) -> None:
        if command.key is not None:
            self.fake.answers[command.key] = answer
        await self._ok(command, answer)

    async def _readdraft(self, command: wire.ReadDraft) -> None:
        await self._ok(command, wire.Empty())

    async def _warm(self, command: wire.Warm) -> None:
        await self._ok(command, wire.ResidencyOk("live"))

    async def _evict(self, command: wire.Evict) -> None:
        await self._ok(command, wire.ResidencyOk("disk"))

    async def _cancel(self, command: wire.Cancel) -> None:
        over = self.fake.runs[command.run].done()
        await self._ok(command, wire.CancelOk(command.run, "finished" if over else "running"))
        self.fake.runs[command.run].cancel()

    async def _runs(self, command: wire.Runs) -> None:
        runs = [
            Run(id=run, thread=command.thread or "", message="", mode="reply", state="running", by=NOBODY)
            for run, task in self.fake.runs.items()
            if not task.done()
        ]
        await self._ok(command, wire.RunsOk(tuple(runs)))


def _message(draft: wire.Draft, name: str) -> Message:
    return Message(id=draft.id or name, role=draft.role, content=draft.content, by=NOBODY, created_at=TIME)


def _applied(thread: Thread, ops: tuple[wire.Op, ...]) -> tuple[tuple[wire.AppliedOp, ...], tuple[str, ...]]:
    """The ops as subscribers are told them, and the ids that they made."""
    applied: list[wire.AppliedOp] = []
    for index, op in enumerate(ops):
        name = f"m{thread.seq}-{index}"
        match op:
            case wire.Append(message=draft):
                applied.append(wire.Appended(_message(draft, name)))
            case wire.Insert(before=before, message=draft):
                applied.append(wire.Inserted(before, _message(draft, name)))
            case wire.Edit(message=message, content=content):
                was = next(one for one in thread.messages if one.id == message)
                applied.append(wire.Edited(structs.replace(was, content=content)))
            case wire.Delete(message=message):
                applied.append(wire.Deleted(message))
            case wire.Truncate(after=after):
                applied.append(wire.Truncated(after))
    made = tuple(op.message.id for op in applied if isinstance(op, wire.Appended | wire.Inserted))
    return tuple(applied), made
