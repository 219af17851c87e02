"""The two servers that `peer` compares, as one person sees each: livethread over its wire, llama-server over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from types import TracebackType
from typing import Any, Self

import httpx
from msgspec import Struct

from tests.bench.bench import Bench
from tests.bench.llama_server import START_SECONDS, LlamaServer
from tests.bench.processes import Server
from tests.bench.talk import Talk
from tests.bench.visits import ANSWER, Visitor
from tests.bench.wire import Map, Wire

SEQUENCES, CONTEXT = 8, 4096


class Thread(Struct):
    """A thread of ours, and the ids of the user's messages."""

    id: str
    said: list[str]


class Ours:
    """livethread on a server that runs."""

    def __init__(self, bench: Bench, server: Server) -> None:
        self._bench = bench
        self._server = server

    def __enter__(self) -> Self:
        self._talk = Talk(Wire(self._server.ws_url))
        self._visitor = Visitor(self._bench, self._server, self._talk)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._talk.close()

    def begin(self) -> Thread:
        """A new thread."""
        return Thread(self._visitor.thread(), [])

    def say(self, chat: Thread, tokens: int) -> float:
        """A turn with a new message."""
        return self._answer(chat, ops=[self._message(chat, tokens)])

    def edit(self, chat: Thread, tokens: int) -> float:
        """Another last message, and an answer to that."""
        op = {"op": "edit", "message": chat.said[-1], "content": self._visitor.text(tokens)}
        return self._answer(chat, ops=[op], mode="regenerate")

    def fork(self, chat: Thread) -> Thread:
        """A new thread that goes as this one to its middle."""
        middle, new = len(chat.said) // 2, f"fork-{self._bench.number()}"
        self._talk.ask("thread.fork", thread=chat.id, at=chat.said[middle], new_thread=new)
        self._talk.ask("subscribe", thread=new)
        return Thread(new, chat.said[: middle + 1])

    def write(self, chat: Thread, tokens: int) -> Callable[[], float]:
        """A message that is there but not answered; the result asks for the answer."""
        self._talk.ask("mutate", thread=chat.id, ops=[self._message(chat, tokens)])
        return lambda: self._answer(chat)

    def restart(self) -> None:
        """Stop the server and start it again."""
        self._talk.close()
        self._server.restart()
        self.__enter__()

    def _message(self, chat: Thread, tokens: int) -> Map:
        number = f"m{self._bench.number()}"
        chat.said.append(number)
        return {
            "op": "append",
            "message": {"role": "user", "content": self._visitor.text(tokens), "id": number},
        }

    def _answer(self, chat: Thread, **fields: Any) -> float:
        self._talk.ask("subscribe", thread=chat.id)
        story = self._talk.generate(chat.id, f"run-{self._bench.number()}", **fields)
        self._talk.hear_out([story])
        return story.first


class Theirs:
    """llama-server in a process of its own; it keeps no threads, so each request brings all messages."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def begin(self) -> list[Map]:
        """A new thread: its messages."""
        return [{"role": "system", "content": f"{self._bench.number()}."}]

    def say(self, chat: list[Map], tokens: int) -> float:
        """A turn with a new message."""
        return self.write(chat, tokens)()

    def edit(self, chat: list[Map], tokens: int) -> float:
        """Another last message, and an answer to that."""
        del chat[-2:]
        return self.say(chat, tokens)

    def fork(self, chat: list[Map]) -> list[Map]:
        """A new thread that goes as this one to its middle."""
        said = [number for number, message in enumerate(chat) if message["role"] == "user"]
        return chat[: said[len(said) // 2] + 1]

    def write(self, chat: list[Map], tokens: int) -> Callable[[], float]:
        """A message that is not answered yet; the result asks for the answer."""
        chat.append({"role": "user", "content": self._bench.vocabulary.text(tokens, self._bench.number())})
        return lambda: self._answer(chat)

    def restart(self) -> None:
        """Stop the server and start it again."""
        self._stop()
        self._start()

    def _answer(self, chat: list[Map]) -> float:
        body = {"messages": chat, "stream": True, "temperature": 0, "max_tokens": ANSWER, "ignore_eos": True}
        text, first, sent_at = "", 0.0, time.monotonic()
        with self._client.stream("POST", "/v1/chat/completions", json=body) as answer:
            for line in answer.iter_lines():
                piece = _piece(line)
                if piece and not text:
                    first = time.monotonic() - sent_at
                text += piece
        if not text:
            raise RuntimeError(f"llama-server gave no text ({answer.status_code}).")
        chat.append({"role": "assistant", "content": text})
        return first

    def _start(self) -> None:
        self._server = LlamaServer(self._bench, sequences=SEQUENCES, context=CONTEXT)
        self._server.start()
        # It hangs up on who has asked a hundred times or waited for five seconds: a connection for each question.
        once = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=self._server.url, timeout=START_SECONDS, limits=once)

    def _stop(self) -> None:
        with closing(self._client):
            self._server.stop()


def _piece(line: str) -> str:
    """The text in a line of a stream of server-sent events."""
    if not line.startswith("data: {"):
        return ""
    choices = json.loads(line.removeprefix("data: ")).get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""
