"""Chat completions as a program written for OpenAI's API asks for them, with as little of the CPU as it can.

One OS thread, raw sockets, one poll; what comes is kept as bytes and looked at when the last stream has ended. This
module must never know whose server it is.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

PATIENCE = 300.0
PIECE = 1 << 16
Body = dict[str, Any]


class Streamed(Struct, frozen=True, kw_only=True):
    """One answered completion. ``arrivals`` are when text came, in order; clock readings are ``time.monotonic()``."""

    sent_at: float
    arrivals: tuple[float, ...]
    text: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    @property
    def first(self) -> float:
        """Seconds to the first text."""
        return self.arrivals[0] - self.sent_at


class Api:
    """An OpenAI-compatible server at ``base``, such as ``http://127.0.0.1:8000/openai/v1``; without a path that is
    ``/v1``. Its first model is asked.
    """

    def __init__(self, base: str) -> None:
        self._url = base.rstrip("/") + ("" if urlsplit(base).path.strip("/") else "/v1")
        self._base = urlsplit(self._url)
        self._model = self._first_model()

    def chats(self, bodies: Sequence[Body]) -> list[Streamed]:
        """Ask for all of these at once, and read them to their ends."""
        fields = {"model": self._model, "stream": True, "stream_options": {"include_usage": True}}
        streams = [_Stream(self._connect(), self._request({**fields, **body})) for body in bodies]
        _read_all(streams)
        return [stream.streamed() for stream in streams]

    def embed(self, texts: Sequence[str]) -> float:
        """Seconds that the vectors of these texts took."""
        body = {"model": self._model, "input": list(texts)}
        before = time.monotonic()
        answer = httpx.post(f"{self._url}/embeddings", json=body, timeout=PATIENCE)
        took = time.monotonic() - before
        answer.raise_for_status()
        if len(answer.json()["data"]) != len(texts):
            raise RuntimeError(f"{self._url} gave {len(answer.json()['data'])} vectors for {len(texts)} texts.")
        return took

    def _first_model(self) -> str:
        listed = httpx.get(f"{self._url}/models", timeout=PATIENCE)
        listed.raise_for_status()
        found: str = listed.json()["data"][0]["id"]
        return found

    def _connect(self) -> socket.socket:
        raw = socket.create_connection((self._base.hostname or "", self._base.port or 80), timeout=PATIENCE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return raw

    def _request(self, body: Body) -> bytes:
        content = json.dumps(body).encode()
        head = (
            f"POST {self._base.path}/chat/completions HTTP/1.1\r\nHost: {self._base.netloc}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


class _Stream:
    """One request and what came of it so far: pieces of bytes, and when each came."""

    def __init__(self, raw: socket.socket, request: bytes) -> None:
        self.raw = raw
        self.pieces: list[tuple[float, bytes]] = []
        self.sent_at = time.monotonic()
        raw.sendall(request)

    def take(self) -> bool:
        """Read what is there; whether more will come."""
        piece = self.raw.recv(PIECE)
        if piece:
            self.pieces.append((time.monotonic(), piece))
        return bool(piece)

    def streamed(self) -> Streamed:
        """What it all says. RuntimeError where it is no stream of chunks."""
        chunks = list(_chunks(self.pieces))
        texts = [(at, _text(chunk)) for at, chunk in chunks]
        usage = next((chunk["usage"] for _, chunk in reversed(chunks) if chunk.get("usage")), None)
        arrivals = tuple(at for at, text in texts if text)
        if usage is None or not arrivals:
            raise RuntimeError(f"The server streamed no text: {b''.join(piece for _, piece in self.pieces)[:500]!r}")
        return Streamed(
            sent_at=self.sent_at,
            arrivals=arrivals,
            text="".join(text for _, text in texts),
            prompt_tokens=usage["prompt_tokens"],
            cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
            completion_tokens=usage["completion_tokens"],
        )


def _read_all(streams: Sequence[_Stream]) -> None:
    by_number = {stream.raw.fileno(): stream for stream in streams}
    poll = select.poll()
    for number in by_number:
        poll.register(number, select.POLLIN)
    open_ones = set(by_number)
    while open_ones:
        ready = poll.poll(PATIENCE * 1000)
        if not ready:
            raise RuntimeError(f"The server said nothing for {PATIENCE:g} seconds.")
        for number, _ in ready:
            if not by_number[number].take():
                poll.unregister(number)
                open_ones.remove(number)
                by_number[number].raw.close()


def _chunks(pieces: Sequence[tuple[float, bytes]]) -> list[tuple[float, Body]]:
    """The chunks of a stream with the times at which they were complete. Whatever frames them is passed over."""
    found: list[tuple[float, Body]] = []
    rest = b""
    for at, piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        found += [(at, json.loads(line[6:])) for line in lines if line.startswith(b"data: {")]
    return found


def _text(chunk: Body) -> str:
    choices = chunk.get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""
