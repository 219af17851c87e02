"""Asks the grammar process whether a grammar may be used, and remembers what it said.

Grammars and schemas come from strangers, and compiling one can take forever, all memory or the process with
it. So only what a disposable process has compiled goes to the engine. This module must never know llama.cpp.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import OrderedDict
from pathlib import Path
from typing import Any

from livethread.errors import CommandError, ErrorCode
from livethread_server.engine.grammar_wire import AT_ONCE, GrammarQuestion, GrammarVerdict, unpack_verdicts
from livethread_server.engine.packing import pack

REMEMBERED = 256
"""How many verdicts are kept, the least recently used ones go first."""
QUESTION_BYTES = 1 << 20
"""The longest schema or grammar that is looked at, in bytes."""
PATIENCE = 15.0
"""Seconds after which a grammar process that does not answer is given up."""


class GrammarCheck:
    """The server's end of the grammar process, which is started when it is first needed."""

    def __init__(self, model_path: Path) -> None:
        self._model_path = model_path
        self._peer: _Peer | None = None
        self._starting = asyncio.Lock()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._trials: set[asyncio.Task[GrammarVerdict | None]] = set()
        self._numbers = itertools.count()
        self._known: OrderedDict[bytes, GrammarVerdict] = OrderedDict()
        self._stopped = False

    async def start(self) -> None:
        """Start the process ahead of the first grammar. It loads in the background."""
        await self._living_peer()

    async def stop(self) -> None:
        """End the process. Checks under way are refused."""
        self._stopped = True
        async with self._starting:
            if self._peer:
                await self._peer.end()
        if self._trials:
            await asyncio.wait(self._trials)

    async def compile(self, *, grammar: str | None, json_schema: dict[str, Any] | None) -> str:
        """The GBNF that was proved harmless, from a grammar or a JSON Schema: exactly one is given.

        Raises `CommandError`: ``bad_request`` with ``details.field`` where it is refused, ``model_unavailable``
        where nobody can tell now.
        """
        if (grammar is None) == (json_schema is None):
            raise _bad_request("sampling.grammar", "Give either a grammar or a json_schema, not both.")
        field = "sampling.grammar" if json_schema is None else "sampling.json_schema"
        question = GrammarQuestion(next(self._numbers), grammar, None if json_schema is None else _to_json(json_schema))
        verdict = await self._verdict(question, field)
        if verdict.gbnf is None:
            name = field.rpartition(".")[2].replace("json_schema", "JSON Schema")
            raise _bad_request(field, f"The {name} cannot be used: {verdict.refusal}.")
        return verdict.gbnf

    async def _verdict(self, question: GrammarQuestion, field: str) -> GrammarVerdict:
        text = question.grammar if question.json_schema is None else question.json_schema
        data = _encode(text or "", field)
        if len(data) > QUESTION_BYTES:
            raise _bad_request(field, f"Field '{field}' has {len(data)} bytes. Send at most {QUESTION_BYTES}.")
        key = hashlib.blake2b(data, person=field[-16:].encode()).digest()
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        await self._slots.acquire()
        # Whoever asked may go away; a trial goes on even so, and has its slot until it is over.
        trial = asyncio.create_task(self._ask(question, key), name="grammar trial")
        self._trials.add(trial)
        trial.add_done_callback(self._tried)
        verdict = await asyncio.shield(trial)
        if verdict is None:
            raise CommandError(
                ErrorCode.MODEL_UNAVAILABLE, "Grammars cannot be checked now. Try again, or leave the grammar out."
            )
        return verdict

    def _tried(self, trial: asyncio.Task[GrammarVerdict | None]) -> None:
        self._trials.discard(trial)
        self._slots.release()

    async def _ask(self, question: GrammarQuestion, key: bytes) -> GrammarVerdict | None:
        """The verdict, which is remembered; None where nobody can tell."""
        for _ in range(2):  # a process that died may have died of something else
            try:
                peer = await self._living_peer()
                verdict = await peer.ask(question)
            except (_Gone, OSError):
                continue
            if verdict.final:
                self._known[key] = verdict
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            return verdict
        return None

    async def _living_peer(self) -> _Peer:
        async with self._starting:
            if self._stopped:
                raise _Gone
            if self._peer is None or self._peer.gone:
                self._peer = await _Peer.start(self._model_path)
            return self._peer


class _Gone(Exception):  # noqa: N818 - the name says what happened
    """The grammar process ended before it answered."""


class _Peer:
    """One life of the grammar process. ``gone`` tells that there is nobody to ask any more."""

    def __init__(self, process: Process) -> None:
        self.gone = False
        self._process = process
        self._waiting: dict[int, asyncio.Future[GrammarVerdict]] = {}
        self._reading = asyncio.create_task(self._read(), name="grammar verdicts")

    @classmethod
    async def start(cls, model_path: Path) -> _Peer:
        command = (sys.executable, "-m", "livethread_server.worker.grammar", str(model_path))
        # A fork must find one OS thread: numpy would start others.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        return cls(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=environment))

    async def ask(self, question: GrammarQuestion) -> GrammarVerdict:
        """The answer, or `_Gone`."""
        answer: asyncio.Future[GrammarVerdict] = asyncio.get_running_loop().create_future()
        self._waiting[question.number] = answer
        try:
            self._pipe().write(pack(question))
            async with asyncio.timeout(PATIENCE):
                return await answer
        except (TimeoutError, ConnectionError):
            await self.end()
            raise _Gone from None
        finally:
            del self._waiting[question.number]

    async def end(self) -> None:
        """Kill the process and wait until it is gone."""
        if self._process.returncode is None:
            self._process.kill()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        verdicts = unpack_verdicts()
        stdout = self._process.stdout
        while stdout and (data := await stdout.read(1 << 16)):
            for verdict in verdicts.feed(data):
                answer = self._waiting.get(verdict.number)
                if answer and not answer.done():
                    answer.set_result(verdict)
        self.gone = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_Gone())
        self._pipe().close()
        await self._process.wait()

    def _pipe(self) -> asyncio.StreamWriter:
        if self._process.stdin is None:
            raise _Gone
        return self._process.stdin


def _to_json(schema: dict[str, Any]) -> str:
    try:
        return json.dumps(schema, allow_nan=False)
    except (RecursionError, TypeError, ValueError) as error:
        raise _bad_request(
            "sampling.json_schema", f"The JSON Schema is not JSON ({str(error)[:100]}). Send one that is."
        ) from None


def _encode(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _bad_request(field, f"Field '{field}' holds half of a surrogate pair. Send valid Unicode.") from None


def _bad_request(field: str, sentence: str) -> CommandError:
    return CommandError(ErrorCode.BAD_REQUEST, sentence, field=field)
