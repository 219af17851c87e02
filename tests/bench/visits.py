"""Turns as the memory's figures define them, on threads of known length, one at a time.

A visit is ``mutate`` with a message, its reply, and right behind it ``generate``: what is measured begins where
``generate`` is sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from statistics import median
from types import MappingProxyType

import httpx

from tests.bench.bench import SEQUENCES, Bench
from tests.bench.jobs import Story
from tests.bench.processes import Server
from tests.bench.talk import Talk
from tests.bench.wire import Map, Wire

NEW = 25
"""New tokens of a visit, with all that the chat template puts around the message."""
AROUND = 12
"""What the template puts around a message and behind the reply before it, with SmolLM2's."""
ANSWER = 4
"""Tokens of an answer that nobody reads."""
PATIENCE = 60.0
"""Seconds until a context has to be where it is wanted."""
SETTLED = 0.6
"""Seconds after a turn when its KV has been saved: a person needs longer to say something."""


class Visitor:
    """Somebody with a connection to ``server``, and threads of his own."""

    def __init__(self, bench: Bench, server: Server, talk: Talk) -> None:
        self._bench = bench
        self._server = server
        self.talk = talk

    def thread(self, *, system: str | None = None, subscribe: bool = True) -> str:
        """A new thread without a turn. Without a ``system`` prompt it has a short one of its own; with an empty
        one the server's.
        """
        number = self._bench.number()
        text = f"{number}." if system is None else system
        messages = [{"role": "system", "content": text}] if text else []
        biases = {str(token): bias for token, bias in self._bench.biases.items()}
        thread = f"visited-{number}"
        sampling = {"temperature": 0.0, "max_tokens": ANSWER, "logit_bias": biases}
        self.talk.send("thread.create", thread=thread, messages=messages, sampling=sampling)
        if subscribe:
            self.talk.send("subscribe", thread=thread)
        return thread

    def text(self, tokens: int) -> str:
        """Something nobody has said, so many tokens long."""
        return self._bench.vocabulary.text(tokens, self._bench.number())

    def append(self, thread: str, tokens: int) -> None:
        """Put a message of so many tokens at a thread's end, and wait for the reply."""
        self.talk.ask("mutate", thread=thread, ops=[_append(self.text(tokens))])

    def generate(
        self,
        thread: str,
        *,
        max_tokens: int = ANSWER,
        content: str | None = None,
        sampling: Mapping[str, float] = MappingProxyType({}),
    ) -> Story:
        """Ask for an answer, to ``content`` where that is given, without waiting for it."""
        ops = [] if content is None else [_append(content)]
        fields = {"ops": ops, "sampling": {"max_tokens": max_tokens, **sampling}}
        return self.talk.generate(thread, f"run-{self._bench.number()}", **fields)

    def answer(self, thread: str, *, max_tokens: int = ANSWER, content: str | None = None) -> Story:
        """A whole turn, or the rest of one."""
        story = self.generate(thread, max_tokens=max_tokens, content=content)
        self.talk.hear_out([story])
        return story

    def visit(self, thread: str, tokens: int = NEW - AROUND) -> Story:
        """A turn with a message of so many tokens, by itself."""
        self.append(thread, tokens)
        return self.answer(thread)

    def grown(self, tokens: int) -> str:
        """A thread whose context is so many tokens long, and live."""
        thread = self.thread()
        self.visit(thread, tokens - 2 * AROUND)
        return thread

    def evict(self, *threads: str) -> None:
        """Put threads on disk, which must work."""
        for thread in threads:
            self.talk.send("evict", thread=thread)
        self.talk.settle()
        for thread in threads:
            self.wait_for(thread, "disk")

    def kill_engine(self) -> None:
        """Let the server's engine process die where it is."""
        self._server.engine().kill()

    def residency(self, thread: str) -> str:
        """Where a thread's context is."""
        found: Map = self.talk.ask("thread.get", thread=thread, limit=1)
        return str(found["thread"]["residency"])

    def wait_for(self, thread: str, residency: str) -> None:
        """Come back when a thread's context is there."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.residency(thread)) != residency:
            if time.monotonic() > deadline:
                raise TimeoutError(f"The context of {thread} is {found} after {PATIENCE:g} s, not {residency}.")
            time.sleep(0.02)

    def stats(self) -> Map:
        """The server's figures."""
        figures: Map = httpx.get(f"{self._server.url}/v1/stats", timeout=30).json()
        return figures


@contextmanager
def visiting(bench: Bench, server: Server) -> Iterator[Visitor]:
    """Somebody who connects."""
    with closing(Talk(Wire(server.ws_url))) as talk:
        yield Visitor(bench, server, talk)


def batches(threads: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many threads at a time as there are sequences."""
    for start in range(0, len(threads), SEQUENCES):
        yield threads[start : start + SEQUENCES]


def _append(content: str) -> Map:
    return {"op": "append", "message": {"role": "user", "content": content}}


def first_ms(stories: Sequence[Story]) -> float:
    """The median time to the first token."""
    return median(story.first for story in stories) * 1000


def spread(stories: Sequence[Story]) -> str:
    """The times to the first token, in order."""
    return ", ".join(f"{story.first * 1000:.0f}" for story in stories) + " ms"


def lengths(stories: Sequence[Story]) -> str:
    """How long prompts were, and what was computed of them."""
    prompts, computed = [story.prompt_tokens for story in stories], [story.computed for story in stories]
    return f"prompts of {min(prompts)}–{max(prompts)} tokens, {min(computed)}–{max(computed)} of them computed"
