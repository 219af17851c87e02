"""What hypothesis makes up: frames, commands that are nearly right, and an engine that does what it likes."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any

import msgpack
import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from msgspec import Struct
from starlette.websockets import WebSocket

from livethread.codec import SUBPROTOCOL_JSON, Codec, Frame
from livethread.messages import COMMANDS
from livethread_server.bounds import Bounds
from livethread_server.websocket import WebSocketDoor
from tests.house import House

Map = dict[str, Any]

EXAMPLES = settings(
    max_examples=int(os.environ.get("LIVETHREAD_FUZZ", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
"""``make fuzz`` wants many more."""

# Values

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TEXT = st.sampled_from(["", "Hi.", "x" * 300, "<|im_end|>", "\x00", "ünï 🦙"]) | st.text(max_size=20)
THREADS = st.sampled_from(["t", "t", "t", "t", "t", "t", "u", "nowhere", "../t"])
MESSAGES = st.sampled_from(["m1", "m2", "m3", "nowhere"])
RUNS = st.sampled_from(["r1", "r2", "r3", "nowhere"])
NUMBERS = st.sampled_from([0, 1, 2, 50, -1, 1 << 31, 1 << 62, 0.5, -0.5, 1e308])
ROLES = st.sampled_from(["user", "user", "user", "assistant", "assistant", "system", "tool"])
METADATA = st.dictionaries(TEXT, st.integers() | TEXT, max_size=2)


def _struct(required: Mapping[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> Any:
    return st.fixed_dictionaries(dict(required), optional=optional)


DRAFTS = _struct({"role": ROLES, "content": TEXT}, id=MESSAGES, metadata=METADATA)
OPS = st.lists(
    st.one_of(
        _struct({"op": st.just("append"), "message": DRAFTS}),
        _struct({"op": st.just("append"), "message": DRAFTS}),
        _struct({"op": st.just("insert"), "before": MESSAGES, "message": DRAFTS}),
        _struct({"op": st.just("edit"), "message": MESSAGES, "content": TEXT}),
        _struct({"op": st.just("delete"), "message": MESSAGES}),
        _struct({"op": st.just("truncate"), "after": st.none() | MESSAGES}),
    ),
    min_size=1,
    max_size=3,
)
WILD_SAMPLING = _struct(
    {},
    max_tokens=NUMBERS,
    temperature=NUMBERS,
    stop=st.lists(TEXT, max_size=3),
    seed=NUMBERS,
    repeat_last_n=NUMBERS,
    logit_bias=st.dictionaries(st.sampled_from(["1", "-1", "999999", "x"]), NUMBERS, max_size=2),
    mirostat=NUMBERS,
    unknown=JUNK,
)
TAME_SAMPLING = _struct({}, max_tokens=st.integers(1, 9), temperature=st.just(0.5), stop=st.just(["end"]))
SAMPLING = st.one_of(TAME_SAMPLING, TAME_SAMPLING, TAME_SAMPLING, WILD_SAMPLING)
SINCE = _struct({"epoch": TEXT, "seq": NUMBERS}, run=RUNS, to=NUMBERS)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "thread": THREADS,
    "new_thread": THREADS,
    "run": RUNS,
    "text": TEXT,
    "expect_version": st.sampled_from([0, 1, 2, 3]),
    "timeout_ms": st.sampled_from([1, 1000, 1 << 40]),
    "metadata": METADATA,
    "title": TEXT,
    "pinned": st.booleans(),
    "limit": st.sampled_from([1, 2, 50]),
    "at": MESSAGES,
    "before": MESSAGES,
    "ops": OPS,
    "messages": st.lists(DRAFTS, max_size=3),
    "sampling": SAMPLING,
    "since": SINCE,
    "mode": st.sampled_from(["reply", "continue", "regenerate"]),
    "if_busy": st.sampled_from(["reject", "enqueue", "interrupt", "rollback"]),
    "if_exists": st.sampled_from(["error", "get"]),
    "on_disconnect": st.sampled_from(["continue", "cancel"]),
    "overflow": st.sampled_from(["error", "drop_oldest"]),
    "role": st.sampled_from(["viewer", "participant", "owner", "none"]),
    "key": st.sampled_from(["k1", "k2"]),
    "protocol": st.just(1),
    "model": st.sampled_from(["smol", "smol", "smol", "other"]),
}
"""What fits into a field; any other field gets text, a number or a truth."""
OTHERS = TEXT | NUMBERS | st.booleans()


def mostly(usual: st.SearchStrategy[Any], seldom: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The one fifteen times as often as the other."""
    return st.integers(0, 15).flatmap(lambda number: usual if number else seldom)


def _commands_of(kind: str) -> st.SearchStrategy[Map]:
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in msgspec.structs.fields(COMMANDS[kind]):
        if field.name != "id":
            fits = FIELDS.get(field.encode_name, OTHERS)
            (required if field.required else optional)[field.encode_name] = mostly(fits, JUNK)

    def with_some(names: list[str]) -> Any:
        return _struct({"type": st.just(kind), **required}, **{name: optional[name] for name in names})

    return st.lists(st.sampled_from(sorted(optional) or ["none"]), max_size=min(3, len(optional)), unique=True).flatmap(
        with_some
    )


USUAL = ["generate", "generate", "generate", "mutate", "subscribe", "thread.create", "cancel"]
COMMAND_MAPS = st.sampled_from([*USUAL, *COMMANDS]).flatmap(_commands_of)


# Steps


class Say(Struct, frozen=True):
    """Send a command."""

    command: Map


class Send(Struct, frozen=True):
    """Send a frame that may be anything."""

    frame: str | bytes


class Engine(Struct, frozen=True):
    """Let the engine do the next thing with one of its runs."""

    which: int
    what: int


class Leave(Struct, frozen=True):
    """Close the connection; the next step opens another."""


STEPS = st.lists(
    st.one_of(
        *(4 * [st.builds(Say, COMMAND_MAPS)]),
        *(2 * [st.builds(Engine, st.integers(0, 3), st.integers(0, 4))]),
        mostly(st.builds(Say, COMMAND_MAPS), st.just(Leave())),
        mostly(st.builds(Say, COMMAND_MAPS), st.builds(Send, st.text(max_size=20) | st.binary(max_size=20))),
    ),
    max_size=40,
)
PROLOGUE: tuple[Say, ...] = tuple(
    Say(command)
    for command in (
        {"type": "thread.create", "thread": "t", "sampling": {"max_tokens": 5}},
        {"type": "subscribe", "thread": "t"},
        {"type": "mutate", "thread": "t", "ops": [{"op": "append", "message": {"role": "user", "content": "Hi."}}]},
    )
)
"""What makes most of the rest possible."""


# The other end


class Line:
    """A connection to a house without a network: the socket of one session, and what is said on it.

    It is what `livethread_server.websocket.Socket` asks for.
    """

    def __init__(self, door: WebSocketDoor, codec: Codec) -> None:
        self.codec = codec
        self.code: int | None = None
        self.heard: list[Map] = []
        self.on_ready: Any = None
        self.ready = True
        self._inward: asyncio.Queue[Map] = asyncio.Queue()
        self._inward.put_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "headers": [], "subprotocols": [codec.subprotocol], "state": {"socket": self}}
        self._serving = asyncio.create_task(door.serve(WebSocket(scope, self._inward.get, self._accepted)))

    def send(self, frame: Frame) -> None:
        """Send a frame to the server."""
        self._inward.put_nowait(
            {"type": "websocket.receive", "text" if isinstance(frame, str) else "bytes": frame},
        )

    async def leave(self) -> None:
        """Close, and wait until the server noticed."""
        self.abort()
        await self._serving

    # What the server does with it

    def write(self, frames: Any) -> None:
        """Hear frames."""
        self.heard += map(self.codec.decode, frames)

    def close(self, code: int, reason: str) -> None:
        """Be told goodbye."""
        if self.code is None:
            self.code = code
            self.abort()

    def abort(self) -> None:
        """Be cut off."""
        self._inward.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def _accepted(self, message: Any) -> None:
        assert message["type"] == "websocket.accept"


class Fuzz:
    """A house that is fuzzed, over one line after another."""

    def __init__(self, house: House, codec: Codec, **bounds: Any) -> None:
        self.house = house
        self.door = WebSocketDoor(house.service, Bounds(**bounds))
        self.asked = 0
        self._codec = codec
        self._line: Line | None = None
        self._numbers: list[int] = []
        self._begun: set[str] = set()

    async def do(self, step: Say | Send | Engine | Leave) -> None:
        """Take a step, and let the house take some."""
        if isinstance(step, Say):
            self._say(step.command)
        elif isinstance(step, Send):
            self.line.send(step.frame)
        elif isinstance(step, Engine):
            self._drive(step)
        else:
            await self.hang_up()
        for _ in range(3):
            await asyncio.sleep(0)
        if self._line is not None and self._line.code is not None:
            await self.hang_up()

    @property
    def line(self) -> Line:
        """The connection, opened where there is none."""
        if self._line is None:
            self._line, self._numbers = Line(self.door, self._codec), []
        return self._line

    async def settle(self) -> None:
        """Let the engine end all its runs, until every command is answered; then hang up."""
        ping = self._say({"type": "ping"}) if self._line is not None else 0
        listed = self._say({"type": "thread.list"}) if ping else 0
        async with asyncio.timeout(20):
            while self.house.engine.unfinished or (listed and not self._answered(listed)):
                for run in self.house.engine.unfinished:
                    self._end(run)
                await asyncio.sleep(0.001)
        await self.hang_up()

    async def hang_up(self) -> None:
        """Check what was heard, and close."""
        if self._line is not None:
            line, self._line = self._line, None
            await line.leave()
            check(line, self._numbers)

    def _say(self, command: Map) -> int:
        self.asked += 1
        line = self.line
        self._numbers.append(self.asked)
        line.send(_encoded(line.codec, {**command, "id": self.asked}))
        return self.asked

    def _answered(self, number: int) -> bool:
        line = self.line
        return line.code is not None or any(heard.get("id") == number for heard in line.heard)

    def _drive(self, step: Engine) -> None:
        runs = self.house.engine.unfinished
        if runs:
            run = runs[step.which % len(runs)]
            if step.what == 0:
                self._end(run)
            elif run in self._begun:
                self.house.engine.say(run, "word ", (step.what,))
            else:
                self._begin(run)

    def _begin(self, run: str) -> None:
        self._begun.add(run)
        self.house.engine.start(run)

    def _end(self, run: str) -> None:
        if run not in self._begun:
            self._begin(run)
        self.house.engine.finish(run)


def _encoded(codec: Codec, command: Map) -> Frame:
    """A command as a frame; our codecs would refuse what a client should not send."""
    if codec.subprotocol == SUBPROTOCOL_JSON:
        return json.dumps(command)
    try:
        frame: bytes = msgpack.packb(command)
    except OverflowError:  # an integer of more than 64 bits
        frame = msgpack.packb({"type": "ping", "id": command["id"]})
    return frame


def check(line: Line, numbers: list[int]) -> None:
    """What must hold of every conversation: each command is answered at most once, never ``internal``, and seqs are
    dense while a thread is listened to."""
    replies = [heard for heard in line.heard if heard["type"] == "reply"]
    answered = [reply["id"] for reply in replies if reply["id"] in numbers]
    assert len(answered) == len(set(answered)), replies
    failed = [reply for reply in replies if reply.get("error", {}).get("code") == "internal"]
    assert not failed, failed
    positions: dict[tuple[str, str], int] = {}
    for heard in line.heard:
        if heard["type"] == "run.delta":
            key = (heard["thread"], heard["run"])
            assert heard["from"] == positions.get(key, heard["from"]), line.heard
            positions[key] = heard["to"]
        elif heard["type"] == "reply":
            positions.clear()  # it may be a subscription that begins again
